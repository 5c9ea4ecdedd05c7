/** ContentInfo (RFC 5652 §3): what a CMS message is, and what is in it. */
import type { BerReader } from "../../asn1/ber-reader.js";
import { DerReader, TAG } from "../../asn1/der.js";
import { oidText } from "../../asn1/oid.js";

/** Goes into the ContentInfo that comes next; returns the type of its content, dotted. */
export async function enterContentInfo(ber: BerReader): Promise<string> {
  await ber.enter(TAG.sequence);
  const type = oidText(new DerReader(await ber.der(TAG.oid), "message").read(TAG.oid));
  await ber.enter(CONTENT);
  return type;
}

/** Leaves it, and refuses whatever comes after it. */
export async function leaveContentInfo(ber: BerReader): Promise<void> {
  await ber.leave();
  await ber.leave();
  await ber.end();
}

const CONTENT = 0xa0;
