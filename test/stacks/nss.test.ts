import { stackSuite } from "./suite.js";

stackSuite("nss");
