/**
 * The part of PIN sources that is needed first: which environment variables hold a PIN, so that no
 * other process inherits them.
 */

type Environment = Readonly<Record<string, string | undefined>>;

export interface PinSource {
  readonly kind: "env" | "file" | "fd" | "cmd" | "pinentry";
  /** A variable's name, a path, a descriptor's number, a command, a pinentry program. */
  readonly rest: string;
}

/**
 * Splits a `--pin-source` argument; undefined when it is not a PIN source. A variable that it names
 * is withheld.
 */
export function pinSource(spec: string): PinSource | undefined {
  if (spec === "pinentry") return { kind: spec, rest: spec };
  const [, kind, rest = ""] = /^(env|file|fd|cmd|pinentry):(.+)$/s.exec(spec) ?? [];
  switch (kind) {
    case "env":
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(rest)) return undefined;
      withheld.add(rest);
      return { kind, rest };
    case "fd":
      return /^\d{1,6}$/.test(rest) ? { kind, rest } : undefined;
    case "pinentry":
      // A name is looked for in PATH, never in the working folder.
      return /^[^/]+$|^\//.test(rest) ? { kind, rest } : undefined;
    case "file":
    case "cmd":
      return { kind, rest };
    case undefined:
    default:
      return undefined;
  }
}

/** Variables that hold PINs; no child process sees them. */
const withheld = new Set<string>();

/** An environment for a child process, without the variables that PIN sources name. */
export function withoutPins(env: Environment): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !withheld.has(name)));
}
