/** The command line handles a format that it knows nothing of, once it is registered. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { registerFormat } from "../../src/envelope/formats.js";
import { toySegments, toyStream } from "../envelope/toy.js";
import { sealedAs } from "../support/toy-messages.js";
import { temporaryFolder, writeKeys } from "./support/folder.js";
import { run, type Outcome } from "./support/run.js";

const root = temporaryFolder();
const at = (name: string): string => join(root, name);
const content = randomBytes(9000);

describe.each([toyStream, toySegments].map((toy) => [toy.name, toy] as const))(
  "a message in another format, %s,",
  (name, toy) => {
    let unregister: () => void;

    beforeAll(async () => {
      writeKeys(root);
      unregister = registerFormat(toy);
      const { header, body, whole } = await sealedAs(toy, content);
      writeFileSync(at("message"), whole);
      writeFileSync(at("header"), header);
      writeFileSync(at("body"), body);
      writeFileSync(at("cut"), whole.subarray(0, -1));
    });

    afterAll(() => {
      unregister();
    });

    const withAlice = (command: string, ...argv: string[]): Promise<Outcome> =>
      run([command, "-i", at("alice.key"), ...argv], { env: { P11SEAL_HOME: at("home") } });

    it("is opened to a file", async () => {
      const { status, stderr } = await withAlice("open", "-o", at(`${name}.out`), at("message"));
      expect([status, stderr]).toEqual([0, ""]);
      expect(readFileSync(at(`${name}.out`)).equals(content)).toBe(true);
    });

    it("is opened to a pipe, from its header and body in two files", async () => {
      const argv = ["--key-blob", at("header"), at("body")];
      const { status, stdout } = await withAlice("open", ...argv);
      expect([status, stdout.equals(content)]).toEqual([0, true]);
    });

    it("that was cut leaves no file behind", async () => {
      const { status } = await withAlice("open", "-o", at(`${name}.cut`), at("cut"));
      expect([status, existsSync(at(`${name}.cut`))]).toEqual([4, false]);
    });

    it("is not opened with a key that it was not sealed to", async () => {
      const { status } = await run(["open", "-i", at("bob.key"), at("message")]);
      expect(status).toBe(3);
    });

    it("is refused where a policy demands a sender, before any key is used", async () => {
      const { status, stderr } = await withAlice("open", "--from", "any", at("message"));
      expect([status, stderr]).toEqual([6, expect.stringContaining("is not signed")]);
    });

    it("is inspected, for people and for programs", async () => {
      const text = (await withAlice("inspect", at("message"))).stdout.toString();
      expect(text).toContain(`format    ${name}, version 7\n`);
      expect(text).toContain("C_Decrypt, RSA-OAEP sha256\n");
      expect(text).toContain(`with ${at("alice.key")}:\n`);
      expect(text.includes("segments  of")).toBe(toy === toySegments);
      const { stdout } = await run(["inspect", "--json", at("message")]);
      expect(JSON.parse(stdout.toString())).toMatchObject({
        sealedBytes: readFileSync(at("message")).length,
        contentBytes: null,
        version: 7,
        signed: false,
        recipients: [{ type: "toy", oaep: "sha256", operation: "C_Decrypt, RSA-OAEP sha256" }],
      });
    });

    it("is looked at by doctor, which says whether it will open", async () => {
      const good = await withAlice("doctor", at("message"));
      expect([good.status, good.stdout.toString()]).toEqual([
        0,
        expect.stringContaining("will open"),
      ]);
      const bad = await run(["doctor", "-i", at("bob.key"), at("message")]);
      expect([bad.status, bad.stdout.toString()]).toEqual([
        3,
        expect.stringContaining("will not open"),
      ]);
    });
  },
);
