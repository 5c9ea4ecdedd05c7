/** age files that age, typage and OpenSSL's keys made: what each states, with the key it names. */
import { createHash } from "node:crypto";
import { expect, it } from "@jest/globals";
import { openMessage } from "../../../src/envelope/messages.js";
import type { ExchangePublicKey, Identity } from "../../../src/keys/key.js";
import { parseAgeRecipient } from "../../../src/keys/formats/age-keys.js";
import { Secret } from "../../../src/secret.js";
import { ageIdentities } from "../../../src/software/age-identities.js";
import { softwareIdentity } from "../../../src/software/software-identity.js";
import { hybridKey } from "../../../src/wrap/hybrid-key.js";
import { fromHex } from "../../../src/bytes.js";
import { codeOf } from "../../support/streams.js";
import { describeVectors, vectorFile, vectorJson } from "../../support/vectors.js";

const REFUSALS = [
  ...["ERR_SEGMENT", "ERR_HEADER", "ERR_NOT_AUTHENTIC", "ERR_TRUNCATED", "ERR_NO_MATCH"],
];

interface Vector {
  readonly file: string;
  readonly expect: "success" | "fail";
  readonly plaintextSha256?: string;
}

describeVectors("age files of other tools", () => {
  const keyFile = (name: string): Identity<ExchangePublicKey> =>
    softwareIdentity(vectorFile(`generated/keys/${name}.p8.pem`), name);
  const age =
    vectorJson<Record<"x25519Identity" | "mlkem768p256tag" | "mlkem768seed", string>>(
      "generated/keys/age.json",
    );
  /** The P-256 key and ML-KEM's seed, as a token and a file would hold them. */
  const hybrid = (): Identity<ExchangePublicKey> => {
    const publicKey = parseAgeRecipient(age.mlkem768p256tag);
    if (publicKey.type !== "hybrid") throw new Error("not a hybrid key");
    const unlock = async () =>
      hybridKey(publicKey, await keyFile("p256").unlock(), new Secret(fromHex(age.mlkem768seed)));
    return { publicKey, name: "hybrid", unlock };
  };
  const keys = {
    tag: () => Promise.resolve([keyFile("p256")]),
    tagpq: () => Promise.resolve([keyFile("p256"), hybrid()]),
    ssh: () => Promise.resolve([keyFile("rsa3072")]),
    x25519: () => ageIdentities(age.x25519Identity, "x25519"),
  };
  const vectors = [
    ...vectorJson<{ vectors: Vector[] }>("generated/manifest.json").vectors,
    ...vectorJson<{ vectors: Vector[] }>("generated/age-1.3.2/manifest.json").vectors,
  ].filter(({ file }) => /^age(?:-1\.3\.2)?\//.test(file));
  const opening = vectors.flatMap((vector) => {
    const name = vector.file.replace(/^.*\//, "").replace(/^neg-/, "");
    const kinds = (["tag", "tagpq", "ssh", "x25519"] as const).filter((kind) =>
      new RegExp(`(?:^|[+-])${kind}\\b`).test(name),
    );
    return kinds.map((kind) => [`${vector.file} with ${kind}`, vector, keys[kind]] as const);
  });

  it("are all here", () => {
    const count = (kind: string): number =>
      opening.filter(([name]) => name.endsWith(` ${kind}`)).length;
    expect([count("tag"), count("tagpq"), count("ssh"), count("x25519")]).toEqual([
      ...[34, 17, 13, 26],
    ]);
  });

  it.each(opening)("%s", async (_name, vector, identities) => {
    const open = async () => {
      const opened = await openMessage(vectorFile(`generated/${vector.file}`), { identities });
      return opened.plaintext.bytes();
    };
    if (vector.expect === "fail") {
      // A tag that was altered makes the stanza somebody else's.
      const code = await codeOf(open());
      expect(REFUSALS).toContain(code);
      return;
    }
    const sha256 = createHash("sha256").update(await open());
    expect(sha256.digest("hex")).toBe(vector.plaintextSha256);
  });
});
