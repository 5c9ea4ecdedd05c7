/** Temporary files of runs that were killed: removed if nobody needs them, and else left alone. */
import * as nodeFs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it, jest } from "@jest/globals";
import { describeOnLinux } from "../support/missing.js";

const { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } = nodeFs;

/** Files that the file system says belong to somebody else; only root can give files away. */
const foreign = new Set<string>();
let listings = 0;
/** Files that can't be removed. */
const stuck = new Set<string>();
jest.unstable_mockModule("node:fs", () => ({
  ...nodeFs,
  lstatSync: (path: string) => {
    const stats = nodeFs.lstatSync(path);
    return foreign.has(path) ? Object.assign(stats, { uid: stats.uid + 1 }) : stats;
  },
  unlinkSync: (path: string) => {
    if (stuck.has(path)) throw Object.assign(new Error("unlink"), { code: "EIO" });
    nodeFs.unlinkSync(path);
  },
  readdirSync: (path: string) => {
    listings++;
    return nodeFs.readdirSync(path);
  },
}));
const { leftoversIn, removeLeftovers } = await import("../../src/store/leftovers.js");
const { keptName, ownTemporaryBeside, placeNew, temporaryBeside } =
  await import("../../src/store/temporary.js");
const { removeTemporary } = await import("../../src/records/ledger/delivery.js");
const { thisProcess } = await import("../../src/store/owner.js");

const above = mkdtempSync(join(tmpdir(), "p11seal-leftovers-"));
afterAll(() => {
  rmSync(above, { recursive: true, force: true });
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(above, "f-"));
  foreign.clear();
});

const [host = "", boot = "", space = ""] = thisProcess().split("-");
const DEAD = `${host}-${boot}-${space}-${process.pid}-1`;
const other = (hex: string): string => hex.replace(/^./, (one) => (one === "1" ? "2" : "1"));

const part = (owner: string, random = "01234567"): string => `.out.p11seal-${random}-${owner}.part`;

function put(...names: string[]): void {
  for (const name of names) writeFileSync(join(folder, name), "half");
}

/** What is there once the folder was looked at. */
function left(): string[] {
  removeLeftovers(folder);
  return readdirSync(folder).sort();
}

describeOnLinux("when something is written to a folder", () => {
  it("files of processes that have ended are removed, and nothing else", () => {
    put(part(DEAD), "out", ".out", ".out.part", ".out.p11seal-01234567", part(DEAD).slice(1));
    put(`${part(DEAD)}~`, `.out.p11seal-0123456-${DEAD}.part`, `.p11seal-01234567-${DEAD}.part`);
    const before = readdirSync(folder).sort();
    expect(left()).toEqual(before.filter((name) => name !== part(DEAD)));
  });

  it("so are the files of a database that was being made", () => {
    put(...["", "-journal", "-wal", "-shm"].map((suffix) => `${part(DEAD)}${suffix}`));
    expect(left()).toEqual([]);
  });

  it.each([
    ["this process", thisProcess()],
    ["a process of another machine", `${other(host)}-${other(boot)}-${space}-${process.pid}-1`],
    ["a process of another container", `${host}-${boot}-${space}1-${process.pid}-1`],
    ["nobody", "0123"],
  ])("that of %s stays", (_, owner) => {
    put(part(owner));
    expect(left()).toEqual([part(owner)]);
  });

  it("that of another user stays", () => {
    put(part(DEAD));
    foreign.add(join(folder, part(DEAD)));
    expect(left()).toEqual([part(DEAD)]);
  });

  it("links and folders of such names stay, and so does what they point to", () => {
    const [link, made] = [part(DEAD, "00000001"), part(DEAD, "00000002")];
    put("precious");
    symlinkSync(join(folder, "precious"), join(folder, link));
    mkdirSync(join(folder, made));
    expect(left()).toEqual([link, made, "precious"]);
  });

  it("a file that a ledger may name stays", () => {
    put(keptName(part(DEAD)));
    expect(left()).toEqual([keptName(part(DEAD))]);
  });

  it("what a forced run replaced stays where it is the last of it", () => {
    const backup = `${part(DEAD)}.old`;
    put(backup);
    expect(leftoversIn(folder)).toEqual([{ path: join(folder, backup), state: "kept" }]);
    nodeFs.linkSync(join(folder, backup), join(folder, "out"));
    expect(left()).toEqual(["out"]);
  });

  it("a name that is not UTF-8 is not taken for another file's", () => {
    const bytes = [Buffer.from(`${folder}/.`), Buffer.of(0xff), Buffer.from(part(DEAD))];
    writeFileSync(Buffer.concat(bytes), "half");
    // What Node makes of that name.
    const mistaken = `.\u{fffd}${part(DEAD)}`;
    put(mistaken);
    expect(left()).toEqual([mistaken, mistaken]);
    expect(nodeFs.existsSync(join(folder, mistaken))).toBe(true);
  });

  it("it is listed once in the life of a process", () => {
    listings = 0;
    left();
    put(part(DEAD));
    expect(left()).toEqual([part(DEAD)]);
    expect(listings).toBe(1);
  });

  it("one that can't be listed is nobody's fault", () => {
    expect(() => {
      removeLeftovers(join(folder, "missing"));
    }).not.toThrow();
  });
});

describe("a temporary name", () => {
  it("fits common file systems, however long the file's own is", () => {
    for (const name of ["a".repeat(255), "\u{1f600}".repeat(60)]) {
      const temporary = ownTemporaryBeside(name);
      expect(Buffer.byteLength(temporary)).toBeLessThanOrEqual(143);
      expect(temporary).not.toContain("\u{fffd}");
    }
  });

  it("that can't be removed does not undo that its file has its own", () => {
    const [temporary, path] = [join(folder, "temporary"), join(folder, "out")];
    writeFileSync(temporary, "whole");
    stuck.add(temporary);
    placeNew(temporary, path);
    expect(nodeFs.readFileSync(path, "utf8")).toBe("whole");
  });

  it("for the ledger tells no process", () => {
    expect(temporaryBeside("dir/out")).toMatch(/^dir\/\.out\.p11seal-[0-9a-f]{8}\.part$/);
  });

  it("that a ledger reserved is removed under its later name, too", () => {
    const reserved = part(DEAD);
    put(reserved, keptName(reserved));
    removeTemporary(join(folder, reserved));
    expect(readdirSync(folder)).toEqual([]);
  });
});

describeOnLinux("what is left behind is told as", () => {
  it.each([
    ["ended", part(DEAD)],
    ["unseen", part(`${other(host)}-${other(boot)}-${space}-1-1`)],
    ["kept", keptName(part(DEAD))],
  ])("%s", (state, name) => {
    put(name, part(thisProcess()), "out");
    expect(leftoversIn(folder)).toEqual([{ path: join(folder, name), state }]);
  });
});
