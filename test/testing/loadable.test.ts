/** Folders that no library can be loaded from, as /proc/self/mountinfo tells. */
import { expect, it } from "@jest/globals";
import { isNoexec, requireLoadable } from "../../src/testing/loadable.js";

const MOUNTS = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /tmp rw,nosuid,nodev,noexec,relatime shared:5 - tmpfs tmpfs rw
31 30 0:26 / /tmp/build rw,relatime shared:6 - tmpfs tmpfs rw,noexec
32 22 0:27 / /my\\040files rw,noexec shared:7 - tmpfs tmpfs rw
33 22 0:28 / /twice rw,noexec shared:8 - tmpfs tmpfs rw
34 22 0:29 / /twice rw shared:9 - tmpfs tmpfs rw
`;

it.each([
  ["/tmp", true],
  ["/tmp/a/b", true],
  ["/tmp/build/a", false],
  ["/tmpfiles", false],
  ["/my files/a", true],
  ["/twice", false],
  ["/home/a", false],
])("%s is on a file system that is mounted noexec: %s", (path, expected) => {
  expect(isNoexec(path, MOUNTS)).toBe(expected);
});

it("a folder that libraries are loaded from all the time is none", () => {
  expect(() => {
    requireLoadable(import.meta.dirname, "TMPDIR");
  }).not.toThrow();
});
