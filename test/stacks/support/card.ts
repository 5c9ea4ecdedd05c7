/** A PIV card for one test file alone, behind OpenSC and a separate pcscd. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "@jest/globals";
import { start } from "../../../scripts/stacks/opensc.mjs";
import {
  TokenProcess,
  type TokenProcessOptions,
} from "../../../src/token/process/token-process.js";
import type { CardKey } from "../../support/piv/application.mjs";
import type { PivCard } from "../../support/piv/start.mjs";
import { CHILD_PROGRAM } from "../../support/child-program.js";
import { TEST_KEYS } from "../../support/keys.js";
import { skipped } from "../../support/missing.js";

export const LABEL = "p11seal pulled card";

const KEYS: readonly CardKey[] = [
  { slot: 0x9a, pem: TEST_KEYS.p256, name: LABEL, use: "sign" },
  { slot: 0x9d, pem: TEST_KEYS.rsa2048, name: "RSA-2048", use: "exchange" },
  { slot: 0x82, pem: TEST_KEYS.p384, name: "P-384", use: "exchange" },
  { slot: 0x83, pem: TEST_KEYS.rsa2048, name: "RSA-2048 that signs", use: "sign" },
];

/** CKA_ID in OpenSC of the keys above. */
export const ID = { sign: 1, rsa: 3, ec: 5, rsaSign: 6 };

export interface CardAtHand {
  readonly module: string;
  readonly env: Readonly<Record<string, string>>;
  readonly pin: string;
  readonly card: PivCard;
  /** Tokens through a process, by default with the right PIN. */
  readonly tokens: (options?: Partial<TokenProcessOptions>) => TokenProcess;
  /** PINs that have reached the card since the last call. */
  readonly newPins: () => Promise<number>;
}

/** A suite on the card; skipped by name if there is none. */
export async function describeCard(
  name: string,
  suite: (card: () => CardAtHand) => void,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "p11seal-card-"));
  const mayFetch = process.env["TEST_STACKS_FETCH"] === "1";
  const stack = await start({ folder, keys: KEYS, mayFetch });
  const remove = (): void => {
    rmSync(folder, { recursive: true, force: true });
  };
  if ("reason" in stack) {
    remove();
    skipped(name, stack.reason);
    return;
  }
  const { module, env, pin, card } = stack;
  const open: TokenProcess[] = [];
  let counted = 0;
  const atHand: CardAtHand = {
    ...{ module, env, pin, card },
    tokens(options = {}) {
      const tokens = new TokenProcess({
        modules: [module],
        home: "/nonexistent",
        env: { ...process.env, ...env },
        pin: () => Promise.resolve(pin),
        program: CHILD_PROGRAM,
        ...options,
      });
      open.push(tokens);
      return tokens;
    },
    async newPins() {
      const { pinsSeen } = await card.state();
      const fresh = pinsSeen - counted;
      counted = pinsSeen;
      return fresh;
    },
  };
  describe(name, () => {
    beforeAll(() => card.insert());
    afterAll(async () => {
      for (const tokens of open) await tokens.close();
      await stack.stop();
      remove();
    });
    suite(() => atHand);
  });
}
