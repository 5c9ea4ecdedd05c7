/** CMS messages that OpenSSL made, and altered ones: what the manifest states of each. */
import { createHash } from "node:crypto";
import { expect, it } from "@jest/globals";
import { inspectMessage, openMessage } from "../../../src/envelope/messages.js";
import type { Identity } from "../../../src/keys/key.js";
import { softwareIdentity } from "../../../src/software/software-identity.js";
import { certificatesIn } from "../../../src/x509/certificate-file.js";
import { codeOf } from "../../support/streams.js";
import { describeVectors, vectorFile, vectorJson } from "../../support/vectors.js";

interface Vector {
  readonly file: string;
  readonly expect: "success" | "fail" | "policy";
  readonly plaintextSha256?: string;
  readonly recipients?: readonly string[];
}

/** Why each is refused that is, though its recipient is who opens it. */
const REFUSALS: Readonly<Record<string, string>> = {
  "cms/neg-tag-flip.der": "ERR_NOT_AUTHENTIC",
  "cms/neg-body-flip.der": "ERR_NOT_AUTHENTIC",
  "cms/neg-truncated.der": "ERR_TRUNCATED",
  "cms/neg-trailing.der": "ERR_TRAILING",
  "cms/neg-icvlen-4.der": "ERR_TAG_LENGTH",
  "cms/extra-shorttag4.der": "ERR_TAG_LENGTH",
  "cms/extra-shorttag12-default.der": "ERR_TAG_LENGTH",
  "cms/extra-gcm-in-envelopeddata.der": "ERR_CMS",
  "cms/extra-ctr-or-cbc-in-authenv.der": "ERR_CMS",
  "cms/extra-v15-in-authenv.der": "ERR_LEGACY",
};

/** Of these files, OpenSSL made EnvelopedData with AES-CBC. */
const IN_CBC = /-cbc256|-aes128-wrap/;

const ALL = { legacy: true, unauthenticated: true };

describeVectors("CMS messages of other tools", () => {
  const identity = (name: string): Identity => ({
    ...softwareIdentity(vectorFile(`generated/keys/${name}.p8.pem`), name),
    certificates: certificatesIn(vectorFile(`generated/keys/${name}.crt.pem`)).map(
      ({ der }) => der,
    ),
  });
  const vectors = vectorJson<{ vectors: Vector[] }>("generated/manifest.json").vectors.filter(
    ({ file }) => file.startsWith("cms/") && !file.endsWith(".eml"),
  );
  const opening = vectors
    .filter((vector) => vector.expect === "success")
    .flatMap((vector) =>
      (vector.recipients ?? []).map(
        (name) => [`${vector.file} with ${name}`, vector, name] as const,
      ),
    );

  it("are all here", () => {
    expect(opening.length).toBeGreaterThan(40);
    const refused = vectors.filter((vector) => vector.expect !== "success");
    expect(refused.map(({ file }) => file).sort()).toEqual(Object.keys(REFUSALS).sort());
  });

  it.each(opening)("%s opens", async (_, vector, name) => {
    const sealed = vectorFile(`generated/${vector.file}`);
    const { plaintext, info } = await openMessage(sealed, {
      identities: [identity(name)],
      allows: ALL,
    });
    const hash = createHash("sha256").update(await plaintext.bytes());
    expect(hash.digest("hex")).toBe(vector.plaintextSha256);
    expect(info.authenticated).toBe(!IN_CBC.test(vector.file));
    expect((await inspectMessage(sealed)).recipients.length).toBe(info.recipients.length);
  });

  it.each(opening.filter(([name]) => IN_CBC.test(name)))(
    "%s is refused unless that is allowed",
    async (_, vector, name) => {
      const sealed = vectorFile(`generated/${vector.file}`);
      const open = (allows: object): Promise<string | undefined> =>
        codeOf(
          openMessage(sealed, { identities: [identity(name)], allows }).then(({ plaintext }) =>
            plaintext.bytes(),
          ),
        );
      expect(await open({ legacy: true })).toBe("ERR_UNAUTHENTICATED");
      const other = vector.file.includes("v15") ? "ERR_LEGACY" : undefined;
      expect(await open({ unauthenticated: true })).toBe(other);
    },
  );

  it.each(Object.entries(REFUSALS))("%s is refused: %s", async (file, code) => {
    const names = ["rsa2048", "rsa3072", "p256", "p384"];
    const opened = openMessage(vectorFile(`generated/${file}`), {
      identities: names.map(identity),
      allows: code === "ERR_LEGACY" ? {} : ALL,
    });
    expect(await codeOf(opened.then(({ plaintext }) => plaintext.bytes()))).toBe(code);
  });

  it("no key is tried without its certificate, where the message names that", async () => {
    const untouchable: Identity = {
      ...identity("rsa2048"),
      certificates: [],
      unlock: () => Promise.reject(new Error("was unlocked")),
    };
    const sealed = vectorFile("generated/cms/ktri-rsa2048-oaep-sha256-gcm256.der");
    const opened = openMessage(sealed, { identities: [untouchable] });
    await expect(opened).rejects.toMatchObject({
      code: "ERR_NO_MATCH",
      hint: expect.stringContaining("--cert FILE") as unknown,
    });
  });
});
