// Bundles the package: `dist/index.js` for `import`, `dist/sandscope.js` for a `<script>` tag. Neither needs another package.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const shared = { bundle: true, minify: true, sourcemap: true, metafile: true, target: "es2022", logLevel: "warning", legalComments: "none" };
const { metafile } = await build({ ...shared, entryPoints: ["src/index.ts"], format: "esm", outfile: "dist/index.js" });
await build({ ...shared, entryPoints: ["src/script.ts"], format: "iife", globalName: "sandscope", outfile: "dist/sandscope.js" });

const bundled = new Set(Object.keys(metafile.inputs).flatMap((path) => path.match(/^node_modules\/(?:@[^/]+\/)?[^/]+/) ?? []));
const packagesOf = new Map();
for (const folder of [...bundled].sort()) {
  const license = readFileSync(`${folder}/${readdirSync(folder).find((name) => /^licen[cs]e/i.test(name))}`, "utf8");
  packagesOf.set(license, [...(packagesOf.get(license) ?? []), folder.replace("node_modules/", "")]);
}
writeFileSync("dist/LICENSES.txt", [...packagesOf].map(([license, names]) => `${names.join("\n")}\n\n${license}`).join("\n\n"));
