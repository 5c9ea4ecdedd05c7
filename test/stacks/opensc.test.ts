import { stackSuite } from "./suite.js";

stackSuite("opensc");
