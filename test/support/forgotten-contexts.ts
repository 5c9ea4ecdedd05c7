/**
 * Before each test file: puts away what jest keeps of the files before it. jest-circus makes an
 * `AsyncLocalStorage` for each file and never disables it. Before Node 24 each of them costs
 * time at every promise, and keeps memory: after a hundred files, promises take ten times as long.
 */
import hooks from "node:async_hooks";

const Real = hooks.AsyncLocalStorage;

/** Remembers those that are made, on the module itself, which all files of a worker have. */
interface Remembering {
  readonly made?: Set<InstanceType<typeof Real>>;
}

const { made } = Real as Remembering;
if (made === undefined) {
  const AsyncLocalStorage = class<T> extends Real<T> {
    static readonly made = new Set<InstanceType<typeof Real>>();

    constructor() {
      super();
      AsyncLocalStorage.made.add(this);
    }
  };
  // From Node 22 on it is a getter, which can't be assigned to.
  Object.defineProperty(hooks, "AsyncLocalStorage", { value: AsyncLocalStorage, writable: true });
} else {
  for (const one of made) one.disable();
  made.clear();
}
