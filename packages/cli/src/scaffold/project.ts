// The files of a new project: a contract, a plugin, a host and a test. Pure: text in, text out.

import { VERSION } from '../version.ts'
import { javascriptFiles } from './javascript.ts'
import { typescriptFiles } from './typescript.ts'

export interface ProjectOptions {
  /** Name of the package and of the contract. */
  readonly name: string
  readonly javascript: boolean
  /** Where plugwire comes from, as package.json says it. Default: this release from the registry. */
  readonly plugwire: string | undefined
  /** How the command `plugwire` is run from the project, for a shell. */
  readonly command: string
}

/** Path to content, in the order in which a reader may want them. */
export type ProjectFiles = ReadonlyMap<string, string>

/** A TypeScript that knows all that the projects' settings ask for. */
const TYPESCRIPT = '^7.0.2'
const NODE_TYPES = '^20.19.0'

export function projectFiles({ name, javascript, plugwire, command }: ProjectOptions): ProjectFiles {
  // From within the directory every *.test.js in it is found, by Node 20 and by later ones; and no *.test.ts, which later ones would take as well.
  const scripts = javascript
    ? { start: 'node src/host.js', test: 'cd src && node --test', check: 'tsc' }
    : { build: 'tsc', prestart: 'tsc', start: 'node dist/host.js', pretest: 'tsc', test: 'cd dist && node --test' }
  const manifest = {
    name,
    version: '0.0.0',
    private: true,
    type: 'module',
    engines: { node: '>=20.19' },
    scripts,
    dependencies: { plugwire: plugwire ?? `^${VERSION}` },
    devDependencies: { '@types/node': NODE_TYPES, typescript: TYPESCRIPT },
  }
  return new Map([
    ['package.json', `${JSON.stringify(manifest, undefined, 2)}\n`],
    ['tsconfig.json', `${JSON.stringify({ compilerOptions: compilerOptions(javascript), include: ['src'] }, undefined, 2)}\n`],
    ['.gitignore', javascript ? 'node_modules/\n' : 'node_modules/\ndist/\n'],
    ...(javascript ? javascriptFiles(name) : typescriptFiles(name)),
    ['README.md', readme(name, javascript, command)],
  ])
}

function compilerOptions(javascript: boolean): object {
  const common = {
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    module: 'nodenext',
    types: ['node'],
    strict: true,
    skipLibCheck: true,
  }
  if (javascript) return { ...common, allowJs: true, checkJs: true, noEmit: true }
  return {
    ...common,
    rootDir: 'src',
    outDir: 'dist',
    verbatimModuleSyntax: true,
    erasableSyntaxOnly: true,
    rewriteRelativeImportExtensions: true,
    sourceMap: true,
  }
}

function readme(name: string, javascript: boolean, command: string): string {
  const extension = javascript ? 'js' : 'ts'
  const plugin = javascript ? 'src/plugin.js' : 'dist/plugin.js'
  return `# ${name}

A plugin and its host, made with [plugwire](https://www.npmjs.com/package/plugwire).

| file | is |
|---|---|
| \`src/greeter.${extension}\` | the contract: what both sides agree on |
| \`src/plugin.${extension}\` | the plugin, a process of its own |
| \`src/host.${extension}\` | the host, which starts it and uses it like a local object |
| \`src/greeter.test.${extension}\` | a test that starts the real plugin |

\`\`\`sh
npm install
npm test
npm start
${javascript ? 'npm run check        # types, by JSDoc\n' : ''}\`\`\`

Without the host, from the shell${javascript ? '' : ' (after `npm run build`)'}:

\`\`\`sh
${command} inspect ${plugin}
${command} call ${plugin} greeter.greet '"world"' --config '{"greeting":"Hello"}'
${command} call ${plugin} greeter.countdown 3 --config '{"greeting":"Hello"}'
${command} doctor ${plugin}
\`\`\`

Next: put your own interface into \`src/greeter.${extension}\`. ${javascript ? '`npm run check` shows' : 'The compiler shows'} what else has to change.
`
}
