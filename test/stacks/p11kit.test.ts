import { stackSuite } from "./suite.js";

stackSuite("p11kit");
