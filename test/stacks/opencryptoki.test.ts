import { stackSuite } from "./suite.js";

stackSuite("opencryptoki");
