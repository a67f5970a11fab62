// `plugwire new`: a project that runs.

import { realpathSync } from 'node:fs'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import type { Command } from 'commander'
import { paint } from '../colour.ts'
import type { Context } from '../context.ts'
import { CommandFailure, ExitCode, usage } from '../failure.ts'
import { projectFiles } from '../scaffold/project.ts'

interface NewOptions {
  readonly js?: boolean
  readonly name?: string
  readonly link?: string
  readonly json?: boolean
}

export interface NewReport {
  readonly directory: string
  readonly name: string
  readonly files: readonly string[]
  /** Commands that come next, to be run in the directory. */
  readonly next: readonly string[]
}

export function addNew(program: Command, context: Context): void {
  const command = program
    .command('new')
    .summary('a contract, a plugin, a host and a test that run')
    .description(
      'Makes a project: a contract, a plugin, a host, and a test that starts the plugin for real. TypeScript, unless --js is given.',
    )
    .argument('<directory>', 'a directory that does not exist yet, or is empty')
    .option('--js', 'plain JavaScript, with types as JSDoc')
    .option('--name <name>', "the package's and the contract's name (default: the directory's)")
    .option(
      '--link <path>',
      'take plugwire from a directory (packages/plugwire of a checkout, or the checkout) or a tarball instead of the registry',
    )
  context.finish(command, ['plugwire new my-plugin', 'plugwire new my-plugin --js'])
  command.action((directory: string, options: NewOptions) => context.run(options, () => create(directory, options, context)))
}

async function create(given: string, options: NewOptions, { output }: Context): Promise<void> {
  const directory = resolve(given)
  const name = options.name ?? nameOf(directory)
  if (!/^[a-z0-9][a-z0-9._-]*$/.test(name) || name.length > 100) {
    throw usage(
      `${name} cannot be the name of a package`,
      'Use small letters, digits, dots, hyphens and underscores; --name gives it a name of its own.',
    )
  }
  await checkEmpty(directory)
  const link = options.link === undefined ? undefined : await packageAt(options.link)
  const plugwire = link === undefined ? undefined : `file:${relative(directory, link).replaceAll('\\', '/')}`
  // Who links plugwire most likely has a command that is not in the registry either.
  const command = link === undefined ? 'npx @plugwire/cli' : `node ${quoted(realpathSync(process.argv[1] as string))}`
  const files = projectFiles({ name, javascript: options.js ?? false, plugwire, command })
  for (const [path, content] of files) {
    const file = join(directory, path)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, content, { flag: 'wx' })
  }
  const next = ['npm install', 'npm test', 'npm start', `${command} inspect ${options.js ? 'src' : 'dist'}/plugin.js`]
  const report: NewReport = { directory, name, files: [...files.keys()], next }
  if (options.json) return output.document(report)
  await output.line(`${paint('bold', name)} is in ${directory}:`)
  for (const path of files.keys()) await output.line(`  ${path}`)
  await output.line('\nNext:')
  for (const line of [`cd ${relative('.', directory) || '.'}`, ...next]) await output.line(`  ${paint('cyan', line)}`)
}

const quoted = (path: string): string => (/^[\w./:\\@%+-]+$/.test(path) ? path : JSON.stringify(path))

/** The package plugwire that `--link` names: a tarball, its directory, or the checkout that has it. */
async function packageAt(given: string): Promise<string> {
  const place = resolve(given)
  const found = await stat(place).catch(() => undefined)
  if (found?.isFile() && /\.(tgz|tar\.gz)$/.test(place)) return place
  for (const directory of [place, join(place, 'packages', 'plugwire')]) {
    if ((await packageName(directory)) === 'plugwire') return directory
  }
  throw usage(
    `--link ${given}: ${found === undefined ? `there is no ${place}` : `${place} holds no package named plugwire`}`,
    'Name the directory packages/plugwire of a checkout, the checkout itself, or a tarball (.tgz) that npm pack made.',
  )
}

async function packageName(directory: string): Promise<unknown> {
  try {
    return (JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as { name?: unknown } | null)?.name
  } catch {
    return undefined // No package.
  }
}

/** The directory's name, as far as a package may be called so. */
function nameOf(directory: string): string {
  const name = basename(directory)
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
  return name === '' ? 'my-plugin' : name
}

/** A repository without a file in it is still empty. */
async function checkEmpty(directory: string): Promise<void> {
  const entries = await readdir(directory).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return []
    const what = cause.code === 'ENOTDIR' ? 'is a file' : cause.message
    throw new CommandFailure('CLI_DIRECTORY', `${directory} ${what}`, ExitCode.failed, undefined, { cause })
  })
  if (entries.every(entry => entry === '.git')) return
  throw new CommandFailure(
    'CLI_DIRECTORY',
    `${directory} is not empty`,
    ExitCode.failed,
    'Nothing was changed. Name a new directory, or an empty one.',
  )
}
