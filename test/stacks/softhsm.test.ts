import { stackSuite } from "./suite.js";

stackSuite("softhsm");
