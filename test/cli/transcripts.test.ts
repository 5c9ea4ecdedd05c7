/** The transcripts of test/cli/transcripts, each in its own folder with the test keys. */
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { temporaryFolder, writeKeys } from "./support/folder.js";
import { fitted, parseTranscript, perform } from "./support/transcript.js";

const transcripts = join(dirname(fileURLToPath(import.meta.url)), "transcripts");
const root = temporaryFolder();

describe.each(readdirSync(transcripts).filter((name) => name.endsWith(".cli")))("%s", (name) => {
  const folder = join(root, name);
  const home = join(root, `${name}.home`);

  beforeAll(() => {
    mkdirSync(join(folder, "folder"), { recursive: true });
    mkdirSync(home);
    writeKeys(folder);
    writeFileSync(join(folder, "note.txt"), "meet at noon\n");
    writeFileSync(join(folder, "other.txt"), "something else\n");
    writeFileSync(join(folder, "empty"), "");
    symlinkSync("other.txt", join(folder, "link"));
    symlinkSync("nowhere", join(folder, "dangling"));
    writeFileSync(join(home, "recipients"), "bob = " + join(folder, "bob.pem") + "\n");
    process.chdir(folder);
  });

  it.each(parseTranscript(readFileSync(join(transcripts, name), "utf8")))(
    "$name",
    async ({ steps }) => {
      expect(steps.length).toBeGreaterThan(0);
      for (const { command, expected } of steps) {
        const seen = await perform(command, { P11SEAL_HOME: home });
        expect({ command, ...fitted(seen, expected) }).toEqual({ command, ...expected });
      }
    },
  );
});
