/**
 * What every script here starts from: where the repository is, how to talk, how to run a program.
 * Like all of scripts/, it needs nothing but Node: no package is installed yet when it runs.
 */
import { spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import path from "node:path";

/** The repository's folder. */
export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/[\\/]$/, "");

/** Everything that is fetched or made for one's own machine; ignored by git, safe to delete. */
export const cache = path.join(root, ".cache");

/** A failure that has a remedy. The scripts print it without a stack and end with status 1. */
export class SetupError extends Error {}

/**
 * One line about what is being done.
 * @param {string} line
 */
export function say(line) {
  console.log(`> ${line}`);
}

/**
 * Runs a script's main function; its result is the exit status.
 * @param {() => Promise<number> | number} main
 */
export async function runMain(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`\n${error.message}`);
    process.exitCode = 1;
  }
}

/**
 * Runs a program, its output passed through.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {number} exit status; 127 when the program could not be started
 */
export function run(program, args, env = process.env) {
  const result = spawnSync(program, args, { cwd: root, env, stdio: "inherit" });
  return result.status ?? (result.signal === null ? 127 : 1);
}

/**
 * Runs a program quietly.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 * @returns {{ status: number, output: string }} standard output and standard error, joined
 */
export function capture(program, args, options = {}) {
  const result = spawnSync(program, args, {
    cwd: options.cwd ?? root,
    env: options.env ?? process.env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 * 1024 * 1024,
  });
  const output = result.error ? String(result.error.message) : result.stdout + result.stderr;
  return { status: result.status ?? 127, output };
}

/**
 * Runs a program to its end, output passed through, and outlives Ctrl-C so that the caller can tidy
 * up: the terminal sends the signal to the program as well.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<number>} exit status; 128 + signal number for a program ended by a signal
 */
export function runToEnd(program, args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, env, stdio: "inherit" });
    const ignore = () => {};
    const forward = () => void child.kill("SIGTERM");
    process.on("SIGINT", ignore);
    process.on("SIGTERM", forward);
    const done = () => {
      process.off("SIGINT", ignore);
      process.off("SIGTERM", forward);
    };
    child.on("error", (error) => {
      done();
      reject(error);
    });
    child.on("close", (status, signal) => {
      done();
      resolve(status ?? { SIGINT: 130, SIGTERM: 143, SIGKILL: 137 }[String(signal)] ?? 128);
    });
  });
}
