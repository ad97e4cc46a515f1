// Bundles the package: `dist/index.js` for `import`, `dist/sandscope.js` for a `<script>` tag.
import { build } from "esbuild";

const shared = { bundle: true, minify: true, sourcemap: true, target: "es2022", logLevel: "warning", legalComments: "none" };
await build({ ...shared, entryPoints: ["src/index.ts"], format: "esm", outfile: "dist/index.js" });
await build({ ...shared, entryPoints: ["src/script.ts"], format: "iife", globalName: "sandscope", outfile: "dist/sandscope.js" });
