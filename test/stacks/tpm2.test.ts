import { stackSuite } from "./suite.js";

stackSuite("tpm2");
