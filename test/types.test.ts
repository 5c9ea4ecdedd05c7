/**
 * The published declarations as another package sees them: through the `exports` map, in strict
 * mode, with libraries checked too, with TypeScript's DOM types and without.
 */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";

const root = join(import.meta.dirname, "..");

/** Streams and buffers in and out, with the web's types as with Node's. */
const STREAMS = `
import { createReadStream } from "node:fs";
import { PassThrough, Readable } from "node:stream";
import {
  inspect, open, openRanges, seal, verifySender,
  type ByteSource, type Identity, type RandomAccessSource, type Recipient,
} from "p11seal";

export async function web(response: Response, blob: Blob, to: Recipient, by: Identity) {
  if (response.body === null) throw new Error("no body");
  const sealed = await seal(response.body, { recipients: [to] });
  const others: ByteSource[] = [
    blob.stream(), new Uint8Array(1), Buffer.from("x"), [new Uint8Array(1)],
    createReadStream("x"), Readable.from([]), new PassThrough(), sealed.body,
  ];
  for (const other of others) await seal(other, { recipients: [to] });
  await inspect(response.body);
  await verifySender(response.body, { header: response.body });
  const { plaintext } = await open(response.body, { header: blob.stream(), identities: [by] });
  const body = sealed.stream().web();
  const request: RequestInit = { method: "POST", body };
  await sealed.body.web().pipeTo(new WritableStream<Uint8Array>());
  sealed.stream().web().pipeThrough(new TransformStream<Uint8Array, Uint8Array>());
  new Response(sealed.header);
  new Blob([sealed.header, await plaintext.bytes()]);
  await crypto.subtle.digest("SHA-256", await sealed.stream().bytes());
  return [request, new Response(sealed.stream().web()), new Response(plaintext.web())];
}

export async function parts(source: RandomAccessSource, by: Identity): Promise<Response> {
  const ranges = await openRanges(source, { identities: [by] });
  return new Response(await ranges.read(0, 10));
}
`;

/** Every kind of key, sender and policy that the options take. */
const KEYS = `
import {
  parsePublicKey, PolicyError, publicKeyFromSpki, requireRecipient, requireSigner, seal,
  softwareIdentity, type OpenOptions, type Recipient, type SealOptions, type Sender,
} from "p11seal";

export async function signed(pem: Uint8Array, to: Recipient, serial: number, expires?: number) {
  const identity = softwareIdentity(pem, "zoe.key", { purpose: "sign" });
  const sender: Sender = {
    publicKey: requireSigner(publicKeyFromSpki(identity.publicKey.spki)),
    key: await identity.unlock(),
    streamId: new Uint8Array(16),
    serial,
    createdMs: Date.now(),
    expiresMs: expires,
  };
  const options: SealOptions = { recipients: [to], oaep: "sha256", segLog2: 16, sender };
  return seal(new Uint8Array(1), options);
}

export const receive: OpenOptions = {
  identities: async (info) => (info.signed ? [] : []),
  authenticate: async (sender) => {
    if (sender?.expiresMs === undefined) throw new PolicyError("ERR_X", "no", { hint: "none" });
  },
};

export const passedOn = (options: Partial<SealOptions>, to: Recipient): SealOptions => ({
  recipients: [to], oaep: options.oaep, signal: options.signal, onProgress: options.onProgress,
});

export const recipient = requireRecipient(parsePublicKey(new Uint8Array(1), "bob.pem"));
`;

/** The program in README. */
const [, README = ""] =
  /^```js\n(.*?)^```$/ms.exec(readFileSync(join(root, "README.md"), "utf8")) ?? [];

/** Tokens, CryptoAPI and records. */
const TOKENS = `
import * as capi from "p11seal/capi";
import * as records from "p11seal/records";
import { parseUri, pinFromSource, TokenAccess, TokenProcess, type Plan } from "p11seal/token";

export const access = new TokenAccess({ home: "x", env: {}, pin: pinFromSource("fd:3") });
export const steps = ({ steps: [step] }: Plan): readonly string[] | undefined => step?.templates;
export async function find(tokens: TokenProcess) {
  return tokens.identity(await tokens.findKey(parseUri("pkcs11:token=office")), "capi-open");
}
export const policy = records.openPolicy({}, { from: ["any"] });
export const kind = capi.blobKind(new Uint8Array(1));
`;

/** The types are not `any`: without an error in the next line, this one is an error. */
const WRONG = `
import { seal } from "p11seal";

// @ts-expect-error -- a text is no source of bytes
await seal("x", { recipients: [] });
`;

const folder = mkdtempSync(join(tmpdir(), "p11seal-types-"));

beforeAll(() => {
  const modules = join(folder, "node_modules");
  // Copies: links would be followed back to the packages of the checkout.
  const copy = (from: string, to: string): void => {
    mkdirSync(dirname(join(modules, to)), { recursive: true });
    cpSync(join(root, from), join(modules, to), { recursive: true });
  };
  copy("dist", "p11seal/dist");
  copy("package.json", "p11seal/package.json");
  for (const name of ["@types/node", "undici-types"]) copy(`node_modules/${name}`, name);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** What tsc says about programs with these sources; the empty string: they compile. */
function compiled(sources: readonly string[], options: Readonly<Record<string, unknown>>): string {
  const files = sources.map((source, i) => {
    writeFileSync(join(folder, `sample-${i}.ts`), source);
    return `sample-${i}.ts`;
  });
  const compilerOptions = {
    module: "NodeNext",
    target: "ES2023",
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noEmit: true,
    skipLibCheck: false,
    types: ["node"],
    ...options,
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const done = spawnSync(process.execPath, [tsc, "-p", folder], {
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  return done.stdout;
}

const PROGRAMS: readonly (readonly [string, object])[] = [
  ["Node alone", { lib: ["ES2023"] }],
  ["Node and the DOM", { lib: ["ES2023", "DOM"] }],
  ["a bundler", { lib: ["ES2023", "DOM"], module: "ESNext", moduleResolution: "Bundler" }],
];

describe.each(PROGRAMS)("the types of p11seal, compiled for %s", (_, options) => {
  // pkcs11js and graphene-pk11 are optional: neither is in the folder where these are compiled.
  it("take streams of Node and the web, and every option, without pkcs11js and graphene-pk11", () => {
    for (const name of ["pkcs11js", "graphene-pk11"]) {
      expect(existsSync(join(folder, "node_modules", name))).toBe(false);
    }
    expect(compiled([STREAMS, KEYS, README, TOKENS, WRONG], { ...options })).toBe("");
  });
});

describe("the types of p11seal", () => {
  it("are tried with a program from README", () => {
    expect(README).toContain('from "p11seal"');
  });
});

describe("the published declarations", () => {
  it("name no optional package", () => {
    const dist = join(root, "dist");
    const names = readdirSync(dist, { recursive: true, encoding: "utf8" });
    const declarations = names.filter((name) => name.endsWith(".d.ts"));
    expect(declarations.length).toBeGreaterThan(100);
    const naming = declarations.filter((name) =>
      /(?:from|import\() ?"(?:pkcs11js|graphene-pk11|libsql)/.test(
        readFileSync(join(dist, name), "utf8"),
      ),
    );
    expect(naming).toEqual([]);
  });
});
