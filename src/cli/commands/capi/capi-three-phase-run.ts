/** `p11seal capi three-phase keys` and `status`: the contents of a run's file. */
import { toHex } from "../../../bytes.js";
import { storeSessionKey, ThreePhase, type Party } from "../../../capi/index.js";
import { FileError, UsageError } from "../../../errors.js";
import { fingerprintText } from "../../../keys/public-key.js";
import { readWhole } from "../../../store/files.js";
import type { Arguments } from "../../arguments/arguments.js";
import { CapiKeys } from "./capi-keys.js";
import { publicOutput } from "./capi-message.js";
import { storedHash } from "./capi-parameters.js";
import { CapiUse } from "./capi-use.js";
import { requireOneStdin } from "../../io/inputs.js";
import { write } from "../../io/io.js";
import type { Output } from "../../io/output.js";
import { commit, requireDistinct } from "../../io/outputs.js";
import { quoted } from "../../../store/system-error.js";
import { json, table } from "../../io/table.js";
import { withTokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";

export async function keysCommand(args: Arguments, context: Context): Promise<undefined> {
  const hash = storedHash(args);
  const paths = ["key-a", "key-b"].flatMap((name) => {
    const path = args.required(name);
    return [path, `${path}.sig`];
  });
  requireOneStdin([args.required("identity"), args.required("sign-with")]);
  if (paths.includes("-")) throw new UsageError("ERR_USAGE", "the keys go to files, not to stdout");
  await requireDistinct(paths);

  await withTokens(args, context, async (tokens) => {
    const run = ThreePhase.resume(await readState(args));
    const { keyA } = run.blobs; // Refuses an incomplete run before a PIN is asked for.
    const keys = new CapiKeys(tokens, context, true);
    const use = new CapiUse("three-phase keys", context);
    const outputs: Output[] = [];
    try {
      for (const path of paths) outputs.push(await publicOutput(path, [], args, context));
      use.received(keyA);
      await use.record(async () => {
        const own = await keys.exchange(args.required("identity"));
        const signing = await keys.signing(args.required("sign-with"));
        const opened = await run.keys(use.privateKey(own));
        try {
          const { padding } = run.terms;
          const options = {
            signer: await signing.unlock(),
            ...{ form: { hash }, padding, allowWeak: true },
          };
          const a = await storeSessionKey(opened.keyA, own.publicKey, options);
          const b = await storeSessionKey(opened.keyB, own.publicKey, options);
          const contents = [a.blob, a.signature, b.blob, b.signature];
          for (const [index, output] of outputs.entries()) {
            await output.write(contents[index] as Uint8Array);
          }
          await commit(...outputs);
        } finally {
          opened.keyA.bytes.wipe();
          opened.keyB.bytes.wipe();
        }
      });
    } finally {
      for (const output of outputs) await output.close();
    }
  });
}

export async function statusCommand(args: Arguments, { io }: Context): Promise<undefined> {
  const run = ThreePhase.resume(await readState(args));
  const { own, peer, algorithm, hash, padding } = run.terms;
  const facts = {
    role: run.role,
    status: run.status,
    ...{ algorithm, hash, padding },
    own: { name: shownName(own), fingerprint: fingerprintText(own.publicKey) },
    peer: { name: shownName(peer), fingerprint: fingerprintText(peer.publicKey) },
  };
  const rows = [
    ["role", run.role],
    ["status", run.status],
    ["terms", `${algorithm}, ${hash}, ${padding}`],
    ["own", `${facts.own.name}, ${facts.own.fingerprint}`],
    ["peer", `${facts.peer.name}, ${facts.peer.fingerprint}`],
  ];
  await write(io.stdout, args.flag("json") ? json(facts) : table(rows));
}

/** `readWhole` refuses a file that others can write to: they could choose the keys. */
export async function readState(args: Arguments): Promise<Uint8Array> {
  const path = args.required("state");
  const bytes = await readWhole(path, 65_536);
  if (bytes !== undefined) return bytes;
  throw new FileError("ERR_READ", `there is no run in ${quoted(path)}`, {
    hint: "start one with p11seal capi three-phase begin, or answer",
  });
}

function shownName({ name }: Party): string {
  const bytes = typeof name === "string" ? new TextEncoder().encode(name) : name;
  const text = Buffer.from(bytes).toString("latin1");
  return /^[ -~]+$/.test(text) ? text : `hex:${toHex(bytes)}`;
}
