/** `p11seal trust add`: an authority under a name. */
import { basename } from "node:path";
import { FormatError, UsageError } from "../../../errors.js";
import { naming } from "../../../keys/refusals.js";
import { oneLine } from "../../../printable.js";
import { addAuthority, certificateFingerprint } from "../../../records/authorities.js";
import type { Certificate } from "../../../x509/certificate.js";
import { certificatesIn } from "../../../x509/certificate-file.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { certificateLine } from "../../find/certificates.js";
import { homeOf } from "../../io/home.js";
import { readSmall } from "../../io/inputs.js";
import { write } from "../../io/io.js";
import { table } from "../../io/table.js";

export async function trustAddCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const [name = "", path = "-"] = args.operands;
  if (path === "-" && io.stdin.isTTY === true) {
    throw new UsageError("ERR_USAGE", "no file was given, and stdin is a terminal");
  }
  const where = path === "-" ? "stdin" : path;
  const certificate = onlyOne(await readSmall(path, io), where);
  const source = oneLine(args.text("provenance") ?? basename(where));
  const addedMs = Math.floor(Date.now() / 1000) * 1000;
  const isNew = await addAuthority(homeOf(io), { name, certificate, source, addedMs });
  await write(
    io.stdout,
    table([
      ["name", name],
      ["certificate", certificateLine(certificate)],
      ["fingerprint", certificateFingerprint(certificate)],
    ]),
  );
  if (!isAuthority(certificate)) {
    report.note("it is no authority: no certificate but this one is believed for it");
  }
  report.note(
    isNew
      ? "compare the fingerprint (SHA-256) with the one that the authority publishes"
      : `"${name}" was this authority already`,
  );
  return undefined;
}

/** Who adds a chain may want its root alone, and would trust all of it. */
function onlyOne(bytes: Uint8Array, where: string): Certificate {
  return naming(where, () => {
    const [certificate, ...more] = certificatesIn(bytes);
    if (certificate !== undefined && more.length === 0) return certificate;
    throw new FormatError("ERR_CERTIFICATE", `${more.length + 1} certificates instead of one`, {
      hint:
        "add one authority at a time, the one that you mean to trust; " +
        "a whole bundle can be named in config.toml under trust",
    });
  });
}

function isAuthority({ version, basicConstraints }: Certificate): boolean {
  return version === 1 || basicConstraints?.ca === true;
}
