/**
 * Writes down the calls that change files, or wait for the disk, in their order, and does them.
 * Import this first, and what is tested with `await import(…)` after it.
 */
import * as nodeFs from "node:fs";
import * as nodePromises from "node:fs/promises";
import { basename } from "node:path";
import { promisify } from "node:util";
import { jest } from "@jest/globals";

/** Such as `flush m`; `m (temporary)` is a file that will get the name `m`. */
export const calls: string[] = [];

/** Temporary files by the name that they will get. */
const nameOf = (path: unknown): string =>
  basename(String(path)).replace(
    /^\.(.+)\.p11seal-[0-9a-f]{8}(?:-[0-9a-f-]+)?\.part$/,
    "$1 (temporary)",
  );

const names = new Map<number, string>();

jest.unstable_mockModule("node:fs/promises", () => ({
  ...nodePromises,
  open: async (...args: Parameters<typeof nodePromises.open>) => {
    const handle = await nodePromises.open(...args);
    const name = nameOf(args[0]);
    names.set(handle.fd, name);
    const writeFile = handle.writeFile.bind(handle);
    const appendFile = handle.appendFile.bind(handle);
    const sync = handle.sync.bind(handle);
    const datasync = handle.datasync.bind(handle);
    handle.writeFile = async (...rest) => {
      calls.push(`write ${name}`);
      await writeFile(...rest);
    };
    handle.appendFile = async (...rest) => {
      calls.push(`write ${name}`);
      await appendFile(...rest);
    };
    handle.sync = async () => {
      calls.push(`flush ${name}`);
      await sync();
    };
    handle.datasync = async () => {
      calls.push(`flush ${name}`);
      await datasync();
    };
    return handle;
  },
  rename: async (from: string, to: string) => {
    calls.push(`name ${nameOf(to)}`);
    await nodePromises.rename(from, to);
  },
  unlink: async (path: string) => {
    calls.push(`remove ${nameOf(path)}`);
    await nodePromises.unlink(path);
  },
}));
jest.unstable_mockModule("node:fs", () => ({
  ...nodeFs,
  open: (
    path: string,
    flags: number,
    mode: number,
    done: (error: NodeJS.ErrnoException | null, fd: number) => void,
  ) => {
    nodeFs.open(path, flags, mode, (error, fd) => {
      if (error === null) names.set(fd, nameOf(path));
      done(error, fd);
    });
  },
  write: Object.assign(() => undefined, {
    [promisify.custom]: (
      ...[fd, ...rest]: [number, Uint8Array, number, number, number]
    ): Promise<unknown> => {
      calls.push(`write ${names.get(fd)}`);
      return promisify(nodeFs.write)(fd, ...rest);
    },
  }),
  writeSync: (fd: number, bytes: Uint8Array, offset: number, length: number, place: number) => {
    calls.push(`write ${names.get(fd)}`);
    return nodeFs.writeSync(fd, bytes, offset, length, place);
  },
  openSync: (...args: Parameters<typeof nodeFs.openSync>) => {
    const fd = nodeFs.openSync(...args);
    names.set(fd, nameOf(args[0]));
    return fd;
  },
  writeFileSync: (...args: Parameters<typeof nodeFs.writeFileSync>) => {
    const [file] = args;
    if (typeof file === "number") calls.push(`write ${names.get(file)}`);
    nodeFs.writeFileSync(...args);
  },
  writevSync: (...args: Parameters<typeof nodeFs.writevSync>) => {
    calls.push(`write ${names.get(args[0])}`);
    return nodeFs.writevSync(...args);
  },
  fsync: (fd: number, done: nodeFs.NoParamCallback) => {
    const name = names.get(fd);
    nodeFs.fsync(fd, (error) => {
      calls.push(`flush ${name}`);
      done(error);
    });
  },
  mkdirSync: (path: string, options?: nodeFs.Mode) => {
    nodeFs.mkdirSync(path, options);
    calls.push(`make ${nameOf(path)}`);
  },
  fsyncSync: (fd: number) => {
    nodeFs.fsyncSync(fd);
    calls.push(`flush ${names.get(fd)}`);
  },
  renameSync: (from: string, to: string) => {
    calls.push(`name ${nameOf(to)}`);
    nodeFs.renameSync(from, to);
  },
  linkSync: (from: string, to: string) => {
    calls.push(`name ${nameOf(to)}`);
    nodeFs.linkSync(from, to);
  },
}));
