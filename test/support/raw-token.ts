/**
 * Steps on a stack's token that p11seal does not offer to users: importing keys and certificates,
 * making keys that its policy would not make, destroying single objects. Each list of steps runs in
 * a separate process (raw-steps.mjs).
 */
import { spawn } from "node:child_process";
import type { KeyObject } from "node:crypto";
import { join } from "node:path";
import { type AttributeValues, template } from "../../src/token/modules/template.js";
import { importValues, type ImportOptions } from "./import-key.js";

/** What another process needs to know about a token. */
export interface RawToken {
  readonly module: string;
  /** The string for C_Initialize; NSS needs one. */
  readonly parameters?: string;
  readonly env: Readonly<Record<string, string>>;
  readonly tokenLabel: string;
  readonly pin: string;
}

export type RawStep =
  | {
      readonly do: "create" | "destroy" | "count";
      readonly values: AttributeValues;
      /** Fields that a certificate must have and p11seal does not use, DER. */
      readonly names?: { readonly subject: Uint8Array; issuer: Uint8Array; serial: Uint8Array };
    }
  | {
      readonly do: "generate";
      readonly mechanism: number;
      readonly publicHalf: AttributeValues;
      readonly privateHalf: AttributeValues;
    };

/** The result of a step: objects made, found or destroyed, or the module's error. */
export type RawResult = { readonly ok: number } | { readonly error: string };

/** Runs steps, logged in as the user. One that fails does not stop the others. */
export async function rawSteps(token: RawToken, steps: readonly RawStep[]): Promise<RawResult[]> {
  const { module, parameters, env, tokenLabel, pin } = token;
  const input = { module, parameters, label: tokenLabel, pin, steps: steps.map(plainStep) };
  const child = spawn(process.execPath, [join(import.meta.dirname, "raw-steps.mjs")], {
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const [said, complained] = [collect(child.stdout), collect(child.stderr)];
  child.stdin.end(JSON.stringify(input));
  const status = await new Promise((resolve) => child.once("close", resolve));
  const output = await said;
  if (status !== 0 && output === "") throw new Error(`raw-token: ${await complained}`);
  return JSON.parse(output) as RawResult[];
}

/** The same; every step must succeed. */
export async function rawDone(token: RawToken, steps: readonly RawStep[]): Promise<void> {
  for (const result of await rawSteps(token, steps)) {
    if ("error" in result) throw new Error(`raw-token: ${result.error}`);
  }
}

/** The steps that import a key pair. The private key comes first. */
export function importSteps(
  key: KeyObject,
  common: Pick<ImportOptions, "label" | "id">,
  privateUse: AttributeValues,
): [RawStep, RawStep] {
  const { privateHalf, publicHalf } = importValues(key, { ...common, privateHalf: privateUse });
  return [
    { do: "create", values: privateHalf },
    { do: "create", values: publicHalf },
  ];
}

function plainStep(step: RawStep): object {
  if (step.do !== "generate") {
    const { names } = step;
    const more =
      names === undefined
        ? []
        : [
            { type: CKA_SUBJECT, value: hex(names.subject) },
            { type: CKA_ISSUER, value: hex(names.issuer) },
            { type: CKA_SERIAL_NUMBER, value: hex(names.serial) },
          ];
    return { do: step.do, template: [...plain(step.values), ...more] };
  }
  const { mechanism, publicHalf, privateHalf } = step;
  return {
    do: step.do,
    mechanism,
    publicHalf: plain(publicHalf),
    privateHalf: plain(privateHalf),
  };
}

function plain(values: AttributeValues): object[] {
  return template(values).map(({ type, value }) => ({
    type,
    value: Buffer.isBuffer(value) ? hex(value) : value,
  }));
}

function hex(bytes: Uint8Array): { hex: string } {
  return { hex: Buffer.from(bytes).toString("hex") };
}

const CKA_ISSUER = 0x81;
const CKA_SERIAL_NUMBER = 0x82;
const CKA_SUBJECT = 0x101;

async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}
