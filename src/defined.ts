/**
 * Options under `exactOptionalPropertyTypes`: a property that is absent, not one that is undefined.
 */

/** `T` with each property that may be undefined as one that may be absent instead. */
export type Defined<T> = {
  [K in keyof T as undefined extends T[K] ? never : K]: T[K];
} & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** The same properties without those that are undefined: `{ ...defined({ hint }) }`. */
export function defined<T extends object>(values: T): Defined<T> {
  const present = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as Defined<T>;
}
