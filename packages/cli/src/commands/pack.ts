// `plugwire pack`: makes a release of what was built, ready to be signed and put on any web server.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import type { Build } from '@plugwire/store'
import type { ManifestContract, PluginType } from '@plugwire/trust'
import type { Command } from 'commander'
import { runByHand } from 'plugwire/host'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'
import { collect, readKeyArgument } from '../documents.ts'
import { CommandFailure, ExitCode, usage } from '../failure.ts'
import { sizeText } from '../plugins.ts'

interface PackOptions {
  readonly name?: string
  readonly version?: string
  readonly publisher?: string
  readonly key?: string
  readonly type?: string
  readonly contract?: string
  readonly contractVersions?: string
  readonly protocol?: readonly string[]
  readonly platform?: readonly string[]
  readonly entry?: string
  readonly bundle?: boolean
  readonly notAfter?: string
  readonly source?: string
  readonly out: string
  readonly replace?: boolean
  readonly dryRun?: boolean
  readonly json?: boolean
}

export function addPack(program: Command, context: Context): void {
  const command = program
    .command('pack')
    .summary('makes a release: a manifest to be signed, archives for each platform, an index')
    .description(
      'Writes <out>/<name>/<version>/ with plugwire.json, the manifest, and an archive for each platform, and the version into <out>/<name>/index.json.\n' +
        'Sign the manifest with `plugwire sign`, and put <out> on any web server: docs/index-format.md.\n\n' +
        'Name and version are those of package.json unless you give them. The contract is what the plugin says when it is asked: pack runs it once, up to\n' +
        'where it would serve. For one that cannot be asked here, say it with --contract.',
    )
    .argument('[build]', 'a JavaScript file for every platform, or a program for this one, or a directory with --entry')
    .option('--platform <platform=build>', 'the build for a platform, e.g. linux-x64=./build/linux; may be repeated', collect)
    .option('--entry <file>', 'which file of the directories is started')
    .option('--bundle', 'make one file of the JavaScript or TypeScript and all it imports; needs esbuild')
    .option('--name <name>', 'of the plugin')
    .option('--version <version>', 'of this release')
    .option('--publisher <name>', 'you, as your users trust you')
    .option('--key <key>', 'your public key or a file with it, to be shown to those who know nothing of you yet')
    .option('--type <type>', 'program, bundle or package (default: by the entry)')
    .option('--contract <name>', 'the contract that it serves')
    .option('--contract-versions <list>', 'with --contract: its versions, e.g. 1,2 (default: 1)')
    .option('--protocol <protocol>', 'with --contract: plugwire, grpc or netrpc; may be repeated (default: plugwire)', collect)
    .option('--not-after <instant>', 'until when the manifest is good, e.g. 2027-01-31T00:00:00Z')
    .option('--source <url>', 'where it is published from, for people')
    .option('--out <directory>', 'where the index is, or shall be', 'release')
    .option('--replace', 'make a version anew that is there already')
    .option('--dry-run', 'say what would be written, and write nothing')
  context.finish(command, [
    'plugwire pack dist/plugin.js --publisher acme',
    'plugwire pack src/plugin.ts --bundle --publisher acme',
    'plugwire pack --platform linux-x64=build/linux/plugin --platform darwin-arm64=build/mac/plugin --name @acme/aws --version 2.1.0 --publisher acme',
  ])
  command.action((build: string | undefined, options: PackOptions) => context.run(options, () => run(build, options, context)))
}

async function run(build: string | undefined, options: PackOptions, { output, signal }: Context): Promise<void> {
  const { pack } = await import('@plugwire/store')
  const own = await readPackage()
  const name = options.name ?? own.name
  const version = options.version ?? own.version
  if (name === undefined || version === undefined)
    throw usage('there is no package.json with name and version here', 'Give --name and --version.')
  if (options.publisher === undefined) throw usage('--publisher is missing: the name that your users trust', '--publisher acme')
  const type = typeOf(options.type)
  const scratch = await mkdtemp(join(tmpdir(), 'plugwire-pack-'))
  try {
    const builds = await buildsOf(build, options, scratch)
    const packed = await pack({
      name,
      version,
      contract: await contractOf(builds, options, signal),
      publisher: { name: options.publisher, ...(options.key !== undefined && { key: await readKeyArgument(options.key) }) },
      builds,
      out: resolve(options.out),
      ...(type !== undefined && { type }),
      ...(options.notAfter !== undefined && { notAfter: options.notAfter }),
      ...(options.source !== undefined && { source: options.source }),
      ...(options.replace && { replace: true }),
      ...(options.dryRun && { dryRun: true }),
    })
    const { manifest, manifestPath, indexPath, files } = packed
    if (options.json)
      return await output.document({ name, version, type: manifest.type, dryRun: options.dryRun ?? false, manifestPath, indexPath, files })
    await output.line(
      `${paint('bold', name)} ${version}   ${manifest.type} for ${Object.keys(manifest.platforms).join(', ')}, serves ${manifest.contract.name} ${manifest.contract.versions.join(', ')}`,
    )
    for (const { path, size } of files)
      await output.line(`  ${paint(options.dryRun ? 'dim' : 'green', options.dryRun ? 'would write' : 'wrote')} ${path}  ${sizeText(size)}`)
    if (!options.dryRun) await output.line(`Now sign it: plugwire sign ${manifestPath} --key <your secret key>`)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function readPackage(): Promise<{ readonly name: string | undefined; readonly version: string | undefined }> {
  try {
    const { name, version } = JSON.parse(await readFile('package.json', 'utf8')) as { name?: unknown; version?: unknown }
    return { name: typeof name === 'string' ? name : undefined, version: typeof version === 'string' ? version : undefined }
  } catch {
    return { name: undefined, version: undefined } // There need not be one.
  }
}

function typeOf(text: string | undefined): PluginType | undefined {
  if (text === undefined || text === 'program' || text === 'bundle' || text === 'package') return text
  throw usage(`--type ${text}: it is one of program, bundle, package`)
}

async function buildsOf(build: string | undefined, options: PackOptions, scratch: string): Promise<Record<string, Build>> {
  const given = new Map<string, string>()
  for (const item of options.platform ?? []) {
    const at = item.indexOf('=')
    if (at <= 0) throw usage(`--platform ${item}: write <platform>=<build>`)
    given.set(item.slice(0, at), item.slice(at + 1))
  }
  if (build !== undefined) {
    const isScript = /\.[cm]?[jt]s$/.test(options.entry ?? build)
    given.set(isScript ? 'any' : (await import('@plugwire/trust')).currentPlatform(), build)
  }
  if (given.size === 0) throw usage('nothing to pack', 'Name what was built, or give --platform <platform>=<build> for each.')
  const builds: Record<string, Build> = {}
  for (const [platform, path] of given) {
    const built = options.bundle ? await bundled(path, join(scratch, platform.replace(/\W/g, '_'))) : resolve(path)
    builds[platform] = { path: built, ...(options.entry !== undefined && { entry: options.entry }) }
  }
  return builds
}

async function bundled(source: string, prefix: string): Promise<string> {
  const { bundle } = await import('@plugwire/store')
  const { mkdir } = await import('node:fs/promises')
  await mkdir(prefix, { recursive: true })
  const file = join(prefix, `${basename(source).replace(/\.[^.]+$/, '')}.js`)
  await writeFile(file, await bundle(resolve(source)))
  // Without it Node would take the file for CommonJS when it is asked for its contract.
  await writeFile(join(prefix, 'package.json'), '{"type":"module"}')
  return file
}

/** What the plugin serves: by the options, or by asking one that can run here. */
async function contractOf(builds: Readonly<Record<string, Build>>, options: PackOptions, signal: AbortSignal): Promise<ManifestContract> {
  if (options.contract !== undefined) {
    const versions = (options.contractVersions ?? '1').split(',').map(text => (/^\s*\d{1,10}\s*$/.test(text) ? Number(text) : Number.NaN))
    if (versions.some(Number.isNaN))
      throw usage(`--contract-versions ${options.contractVersions}: write whole numbers, separated by commas`)
    return { name: options.contract, versions: versions.sort((a, b) => a - b), protocols: options.protocol ?? ['plugwire'] }
  }
  const { currentPlatform } = await import('@plugwire/trust')
  const build = builds['any'] ?? builds[currentPlatform()]
  const remedy = 'Say what it serves: --contract <name> --contract-versions 1,2.'
  if (build === undefined) throw usage('none of the builds runs on this machine, so none can be asked for its contract', remedy)
  const file = build.entry === undefined ? build.path : join(build.path, build.entry)
  const { contract } = await runByHand(file, { signal })
  if (contract === undefined)
    throw new CommandFailure('CLI_CONTRACT_UNKNOWN', `${file} does not tell its contract when asked`, ExitCode.failed, remedy)
  return {
    name: contract.name,
    versions: contract.versions.map(({ version }) => version).sort((a, b) => a - b),
    protocols: options.protocol ?? ['plugwire'],
  }
}
