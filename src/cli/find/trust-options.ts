/** What a command line says about trust in certificates: nothing here needs one to be read. */
import type { Arguments } from "../arguments/arguments.js";

/** The files that it names: authorities, revocation lists, OCSP responses. */
export function trustFiles(args: Arguments): readonly string[] {
  return ["trust", "crl", "ocsp"].flatMap((name) => args.texts(name));
}

/** The first such option that was given. With one of them the user wants a verdict. */
export function givenTrustOption(args: Arguments): string | undefined {
  return ["trust", "crl", "ocsp", "at"].find((name) => args.texts(name).length > 0);
}
