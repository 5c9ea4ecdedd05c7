/** A card that is pulled before, during and after use, and what happens to its PIN. */
import { execFileSync } from "node:child_process";
import { constants, publicEncrypt } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "@jest/globals";
import { TokenError } from "../../src/errors.js";
import type { TokenProcess } from "../../src/token/process/token-process.js";
import { parseUri } from "../../src/token/uri.js";
import { atTerminal } from "../cli/support/at-terminal.js";
import { temporaryFolder } from "../cli/support/folder.js";
import { p11seal, start, until } from "../cli/support/spawn.js";
import { publicPem, TEST_KEYS } from "../support/keys.js";
import { describeCard, ID, LABEL, type CardAtHand } from "./support/card.js";
import { decryptOaep, decryptPkcs1, sign, signPkcs1 } from "../support/private-key.js";
import { scaled } from "../support/scale.js";

const TOKEN = parseUri(`pkcs11:token=${encodeURIComponent(LABEL)}`);
const uriOf = (id: number): string =>
  `pkcs11:token=${encodeURIComponent(LABEL)};id=%0${id.toString(16)}`;

const SESSION_KEY = Buffer.alloc(32, 7);
const RSA = publicPem(TEST_KEYS.rsa2048);

/** Unwraps with the card's RSA key what was wrapped for it. */
async function unwrap(tokens: TokenProcess): Promise<Uint8Array | undefined> {
  const key = await tokens.findKey({ ...TOKEN, id: Uint8Array.of(ID.rsa) });
  const unlocked = await tokens.identity(key).unlock();
  const ciphertext = publicEncrypt({ key: RSA, oaepHash: "sha256" }, SESSION_KEY);
  return (await decryptOaep(unlocked, ciphertext, "sha256"))?.expose();
}

/** Unlocks a key of the card for a purpose. Each call uses it once. */
async function unlockedTo(
  purpose: "open" | "sign" | "capi-open" | "capi-sign",
  tokens: TokenProcess,
): Promise<() => Promise<unknown>> {
  const id = { open: ID.rsa, sign: ID.sign, "capi-open": ID.rsa, "capi-sign": ID.rsaSign }[purpose];
  const key = await tokens.findKey({ ...TOKEN, id: Uint8Array.of(id) });
  const unlocked = await tokens.identity(key, purpose).unlock();
  const { RSA_PKCS1_PADDING: padding } = constants;
  switch (purpose) {
    case "open":
      return () =>
        decryptOaep(
          unlocked,
          publicEncrypt({ key: RSA, oaepHash: "sha256" }, SESSION_KEY),
          "sha256",
        );
    case "capi-open":
      return () => decryptPkcs1(unlocked, publicEncrypt({ key: RSA, padding }, SESSION_KEY));
    case "sign":
      return () => sign(unlocked, SESSION_KEY);
    case "capi-sign":
      return () => signPkcs1(unlocked, SESSION_KEY);
  }
}

/** Waits until the reader has noticed the change. */
async function noticed(tokens: TokenProcess, isThere: boolean): Promise<void> {
  const deadline = Date.now() + 40_000;
  for (;;) {
    try {
      await tokens.rescan();
      if ((await tokens.tokens()).length === (isThere ? 1 : 0)) return;
    } catch (error) {
      // This module too may have been called at a bad moment.
      if (!(error instanceof TokenError)) throw error;
    }
    if (Date.now() > deadline) throw new Error("the reader noticed nothing");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Milliseconds that the module may take in these tests. */
const LIMIT = 6000;

const SOON = { P11SEAL_TOKEN_TIMEOUT: "6" };

/** How using a pulled token ends: the module reports it, or never returns. */
const ENDED = ["ERR_TOKEN_REMOVED", "ERR_TOKEN_TIMEOUT"];

const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code;

await describeCard("a card that is pulled", (at) => {
  let lookout: TokenProcess;
  beforeEach(async () => {
    lookout = at().tokens({ timeoutMs: LIMIT });
    await noticed(lookout, true);
    await at().newPins();
  });
  afterEach(async () => {
    await at().card.insert();
    await noticed(lookout, true);
    await lookout.close();
  });

  it("while idle is an error, and what comes after it is back works, with a new login", async () => {
    const { card, newPins } = at();
    const tokens = at().tokens({ timeoutMs: LIMIT });
    expect(await unwrap(tokens)).toEqual(new Uint8Array(SESSION_KEY));
    expect(await newPins()).toBe(1);
    await card.remove();
    await noticed(lookout, false);
    const missed = await unwrap(tokens).then(() => "opened", codeOf);
    expect([...ENDED, "ERR_TOKEN_NOT_FOUND"]).toContain(missed);
    await card.insert();
    await noticed(lookout, true);
    expect(await unwrap(tokens)).toEqual(new Uint8Array(SESSION_KEY));
    expect(await newPins()).toBe(1);
  });

  it.each(["open", "sign", "capi-open", "capi-sign"] as const)(
    "between two uses of a key unlocked to %s is an error, and works when it is back",
    async (purpose) => {
      const { card, newPins } = at();
      const tokens = at().tokens({ timeoutMs: LIMIT });
      const key = await unlockedTo(purpose, tokens);
      const use = (): Promise<unknown> => key().then(() => "used", codeOf);
      expect(await use()).toBe("used");
      await card.remove();
      await noticed(lookout, false);
      expect(ENDED).toContain(await use());
      await card.insert();
      await noticed(lookout, true);
      expect(await newPins()).toBe(1);
      expect(await use()).toBe("used");
      expect(await newPins()).toBe(1);
    },
  );

  it("and put back between two looks is not logged in any more", async () => {
    const { card, newPins } = at();
    const tokens = at().tokens({ timeoutMs: LIMIT });
    const lasts = async (): Promise<boolean> => tokens.isLoggedIn(await tokens.findToken(TOKEN));
    await tokens.logIn(TOKEN);
    expect([await lasts(), await lasts()]).toEqual([true, true]);
    expect(await newPins()).toBe(1);
    await card.remove();
    // As long as the daemon needs to notice: nobody asks the module meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await card.insert();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await lasts()).toBe(false);
    await tokens.logIn(TOKEN);
    expect([await lasts(), await newPins()]).toEqual([true, 1]);
  });

  it("in the middle of an operation is an error in time, every time", async () => {
    const { card } = at();
    const tokens = at().tokens({ timeoutMs: LIMIT });
    const codes: unknown[] = [];
    const runs = scaled(20, 4);
    for (let run = 0; run < runs; run++) {
      expect(await unwrap(tokens)).toEqual(new Uint8Array(SESSION_KEY));
      // Pulled early, OpenSC never returns; pulled late, it reports what happened.
      await card.pullAt("use", { after: [0, 30, 150, 700][run % 4] ?? 0 });
      const begun = Date.now();
      codes.push(await unwrap(tokens).then(() => "opened", codeOf));
      expect(Date.now() - begun).toBeLessThan(3 * LIMIT);
      await card.insert();
      await noticed(lookout, true);
    }
    expect(codes).toHaveLength(runs);
    for (const code of codes) expect(ENDED).toContain(code);
    expect(await unwrap(tokens)).toEqual(new Uint8Array(SESSION_KEY));
    expect((await card.state()).triesLeft).toBe(3);
  }, 240_000);

  it("while its PIN is on the way gets no second one", async () => {
    const { card, newPins } = at();
    const tokens = at().tokens({ timeoutMs: LIMIT });
    await card.pullAt("verify");
    await expect(unwrap(tokens)).rejects.toBeInstanceOf(TokenError);
    await card.insert();
    await noticed(lookout, true);
    await newPins();
    // It is not known whether the card received it.
    await expect(unwrap(tokens)).rejects.toBeInstanceOf(TokenError);
    expect(await newPins()).toBe(0);
  });
});

await describeCard("a PIN on a card", (at) => {
  const wrong = (): Promise<string> => Promise.resolve("999999");

  it("that is wrong is sent once, and the counter goes down by one", async () => {
    const { card, newPins } = at();
    const tokens = at().tokens({ pin: wrong });
    await expect(unwrap(tokens)).rejects.toMatchObject({ code: "ERR_PIN_REFUSED" });
    await expect(unwrap(tokens)).rejects.toMatchObject({ code: "ERR_PIN_REFUSED" });
    expect(await newPins()).toBe(1);
    expect((await card.state()).triesLeft).toBe(2);
  });

  it("is not sent when one try is left, unless that is wanted", async () => {
    const { card, newPins } = at();
    await expect(unwrap(at().tokens({ pin: wrong }))).rejects.toMatchObject({
      code: "ERR_PIN_REFUSED",
    });
    await newPins();
    await expect(unwrap(at().tokens())).rejects.toMatchObject({ code: "ERR_PIN_FINAL_TRY" });
    expect(await newPins()).toBe(0);
    expect(await unwrap(at().tokens({ force: true }))).toEqual(new Uint8Array(SESSION_KEY));
    expect((await card.state()).triesLeft).toBe(3);
  });

  it("is not sent when it is locked", async () => {
    const { card, newPins } = at();
    await card.block();
    await newPins();
    await expect(unwrap(at().tokens())).rejects.toMatchObject({ code: "ERR_PIN_LOCKED" });
    expect(await newPins()).toBe(0);
  });
});

await describeCard("p11seal open, when the card is pulled", (at) => {
  const folder = temporaryFolder();
  const names = ["a", "b", "c"];
  let here: string;

  beforeEach(async () => {
    here = mkdtempSync(join(folder, "batch-"));
    writeFileSync(join(here, "card.pem"), RSA);
    for (const name of names) {
      writeFileSync(join(here, name), `content of ${name}`);
      const argv = ["seal", "-r", "card.pem", "-o", `${name}.p11s`, name];
      expect(await p11seal(argv, { cwd: here })).toMatchObject({ status: 0 });
      writeFileSync(join(here, name), "");
    }
    const { card, newPins, tokens } = at();
    await card.insert();
    const lookout = tokens();
    await noticed(lookout, true);
    await lookout.close();
    await newPins();
  });

  const argvOf = ({ module }: CardAtHand, ...more: string[]): string[] => [
    ...["open", "--force", "-i", uriOf(ID.rsa), "--module", module, ...more],
    ...names.map((name) => `${name}.p11s`),
  ];
  const opened = (): string[] => names.map((name) => readFileSync(join(here, name), "utf8"));
  const ALL = names.map((name) => `content of ${name}`);

  it("goes on with the same file when it is back, and the PIN is sent once more", async () => {
    const { card, env, pin, newPins } = at();
    await card.pullAt("use", { skip: 1, after: 50 });
    const argv = argvOf(at(), "--pin-source", "env:PIN", "--wait", "60");
    const running = start(argv, { cwd: here, env: { ...env, ...SOON, PIN: pin } });
    let told = "";
    running.child.stderr?.on("data", (chunk: Buffer) => (told += chunk.toString()));
    await until(() => told.includes("insert token"), "the invitation");
    await card.insert();
    const { status, stderr } = await running.ended;
    expect({ status, opened: opened() }).toEqual({ status: 0, opened: ALL });
    expect(stderr).toContain(`insert token "${LABEL}" (serial `);
    expect(await newPins()).toBe(2);
  });

  it("goes on with the next file where nothing is waited for", async () => {
    const { card, env, pin, newPins, tokens } = at();
    await card.pullAt("use", { skip: 1, after: 50 });
    // The last message comes through a pipe, once the card is back.
    const last = readFileSync(join(here, "c.p11s"));
    rmSync(join(here, "c.p11s"));
    execFileSync("mkfifo", [join(here, "c.p11s")]);
    const argv = argvOf(at(), "--pin-source", "env:PIN");
    const running = start(argv, { cwd: here, env: { ...env, ...SOON, PIN: pin } });
    let told = "";
    running.child.stderr?.on("data", (chunk: Buffer) => (told += chunk.toString()));
    await until(() => told.includes("b.p11s: "), "the second message's failure");
    await card.insert();
    const lookout = tokens();
    await noticed(lookout, true);
    await lookout.close();
    await writeFile(join(here, "c.p11s"), last);
    const { status, stderr } = await running.ended;
    expect({ status, opened: opened() }).toEqual({ status: 5, opened: [ALL[0], "", ALL[2]] });
    expect(stderr).toMatch(/^p11seal: b\.p11s: /m);
    expect(await newPins()).toBe(2);
  });

  it("asks for the PIN again at a terminal", async () => {
    const { card, env, pin, newPins } = at();
    await card.pullAt("use", { skip: 1, after: 50 });
    const question = `PIN for token "${LABEL}"`;
    const waiting = join(here, "waiting");
    const back = until(() => existsSync(waiting), "the invitation").then(() => card.insert());
    const { status, shown } = await atTerminal(
      argvOf(at()),
      [
        [question, `${pin}\r`],
        ["waiting; Ctrl-C to stop", { makes: waiting }],
        [question, `${pin}\r`],
      ],
      { cwd: here, env: { ...env, ...SOON } },
    );
    await back;
    expect({ status, opened: opened() }).toEqual({ status: 0, opened: ALL });
    expect(shown).not.toContain(pin);
    expect(await newPins()).toBe(2);
  });

  it("sends no second PIN after a refusal", async () => {
    const { env, card, newPins } = at();
    const argv = argvOf(at(), "--pin-source", "env:PIN", "--wait", "5");
    const { status } = await p11seal(argv, { cwd: here, env: { ...env, PIN: "999999" } });
    expect(status).toBe(5);
    expect(await newPins()).toBe(1);
    expect((await card.state()).triesLeft).toBe(2);
  });
});
