import hooks from "node:async_hooks";
import { expect, it } from "@jest/globals";

// None: jest makes none any more, and forgotten-contexts.ts can go.
it("promises carry along the context of this test file, and of no other", () => {
  const { made } = hooks.AsyncLocalStorage as { readonly made?: Set<unknown> };
  expect(made?.size).toBe(1);
});
