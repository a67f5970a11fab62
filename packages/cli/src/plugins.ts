// What the commands about installed plugins have in common: their options, whom they trust, and how progress looks. Loads the store when one of them runs.

import { resolve } from 'node:path'
import type { HttpRetry, InstallEvent, Installed, InstallOptions } from '@plugwire/store'
import type { TrustPolicy, Verdict } from '@plugwire/trust'
import type { Command } from 'commander'
import { canAsk, confirm } from './ask.ts'
import { paint } from './colour.ts'
import type { Context } from './context.ts'
import { collect } from './documents.ts'
import { CommandFailure, ExitCode, usage } from './failure.ts'

export interface PlaceOptions {
  readonly lock: string
  readonly store?: string
  readonly json?: boolean
  readonly debug?: boolean
}

export interface FetchingOptions extends PlaceOptions {
  readonly offline?: boolean
  readonly registry?: string
  readonly mirror?: string
  readonly host?: readonly string[]
  readonly verifyOpenpgp?: boolean
  readonly loopback?: boolean
}

export interface TrustingOptions extends FetchingOptions {
  readonly dryRun?: boolean
  readonly platform?: readonly string[]
  readonly trustFile?: string
  readonly allowUnsigned?: boolean
  readonly allowDowngrade?: boolean
  readonly firstUse?: boolean
  readonly fingerprint?: string
}

export function addPlaceOptions(command: Command): Command {
  return command
    .option('--lock <file>', 'the lock file', 'plugwire.lock')
    .option('--store <directory>', 'where content is kept (default: PLUGWIRE_STORE, or plugwire/store among your data)')
}

export function addFetchingOptions(command: Command): Command {
  return addPlaceOptions(command)
    .option('--offline', 'fetch nothing: what is not in the store is an error')
    .option('--registry <url>', 'the npm registry (default: that of your npm)')
    .option('--mirror <directory>', "take Terraform providers from a directory in the layout of Terraform's filesystem mirrors")
    .option('--host <host>', 'another host that sources may send requests to; may be repeated', collect)
    .option('--verify-openpgp', "check OpenPGP signatures of Terraform providers' checksums; needs the package openpgp")
    .option('--loopback', 'take plain HTTP from this machine itself, for tests')
}

export function addTrustingOptions(command: Command): Command {
  return addFetchingOptions(command)
    .option('--platform <platform>', "for this platform; may be repeated (default: this machine's)", collect)
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('--first-use', 'accept a publisher of whom nothing is known, after its fingerprint was confirmed, and trust it for this plugin')
    .option('--fingerprint <fingerprint>', 'with --first-use: the key that it has to be, instead of a question')
    .option('--allow-unsigned', 'accept plugins that nobody signed; the lock file pins what was found')
    .option('--allow-downgrade', 'accept a version below the highest that was used')
    .option('--trust-file <file>', 'where the trusted keys are')
}

/** Where sources are and what they may do. */
async function sourcesOf(options: FetchingOptions, progress: Progress): Promise<NonNullable<InstallOptions['sources']>> {
  const { npmSettings } = await import('@plugwire/store')
  const hosts = options.host === undefined ? {} : { hosts: options.host }
  // The token has to be that of the registry which is asked.
  const npm = await npmSettings({ ...process.env, ...(options.registry !== undefined && { npm_config_registry: options.registry }) })
  return {
    http: { onRetry: progress.retry, ...(options.loopback && { allowLoopback: true }) },
    index: hosts,
    npm: { ...npm, ...hosts, ...(options.registry !== undefined && { scopes: {} }) },
    terraform: {
      ...(options.mirror !== undefined && { mirror: resolve(options.mirror) }),
      ...(options.verifyOpenpgp && { verifyChecksums: (await import('@plugwire/trust/openpgp')).verifyOpenPgp }),
    },
  }
}

/** Options for everything that fetches without deciding about trust. */
export async function fetchingOptions(
  options: FetchingOptions,
  context: Context,
  progress: Progress = new Progress(options.json),
): Promise<InstallOptions> {
  return {
    lockFile: resolve(options.lock),
    signal: context.signal,
    sources: await sourcesOf(options, progress),
    ...(options.store !== undefined && { store: options.store }),
    ...(options.offline && { offline: true }),
  }
}

/** Whom this user trusts, as far as these options go. */
export async function policyOf(
  options: Pick<TrustingOptions, 'trustFile' | 'allowUnsigned' | 'allowDowngrade' | 'firstUse'>,
): Promise<TrustPolicy> {
  const { readTrustFile, trustPolicy } = await import('@plugwire/trust')
  return trustPolicy(await readTrustFile(options.trustFile), {
    ...(options.allowUnsigned && { require: 'none' }),
    ...(options.allowDowngrade && { allowDowngrade: true }),
    ...(options.firstUse && { firstUse: 'accept' }),
  })
}

/** Options for `install` and `update`. */
export async function installingOptions(options: TrustingOptions, context: Context, progress: Progress): Promise<InstallOptions> {
  if (options.fingerprint !== undefined && !options.firstUse) throw usage('--fingerprint goes with --first-use')
  return {
    ...(await fetchingOptions(options, context, progress)),
    policy: await policyOf(options),
    onEvent: progress.take,
    onFirstUse: verdict => acceptFirstUse(verdict, options, context, progress),
    ...(options.platform !== undefined && { platforms: options.platform }),
    ...(options.dryRun && { dryRun: true }),
  }
}

/** Shows the fingerprint of a publisher of whom nothing is known; records its key when somebody confirms it. */
async function acceptFirstUse(verdict: Verdict, options: TrustingOptions, { signal }: Context, progress: Progress): Promise<boolean> {
  const { manifest, signers } = verdict
  const fingerprint = signers[0]?.fingerprint ?? ''
  progress.clear()
  if (options.fingerprint !== undefined) {
    if (options.fingerprint !== fingerprint) return false
  } else {
    if (!canAsk())
      throw new CommandFailure(
        'CLI_FINGERPRINT',
        `nothing is known of ${JSON.stringify(manifest.publisher.name)}, whose key has the fingerprint ${fingerprint}`,
        ExitCode.failed,
        'Compare it with the one that the publisher shows elsewhere; if it is the same: --fingerprint <fingerprint>.',
      )
    process.stderr.write(
      `${manifest.name} ${manifest.version} is signed by ${JSON.stringify(manifest.publisher.name)}, of whom nothing is known:\n\n  ${fingerprint}\n\n`,
    )
    if (!(await confirm('Is that the fingerprint which the publisher shows elsewhere?', signal))) return false
  }
  if (options.dryRun) return true
  const { trustFirstUse, updateTrustFile } = await import('@plugwire/trust')
  await updateTrustFile(trust => trustFirstUse(trust, verdict), options.trustFile)
  return true
}

/** One line that says how far a download is, on a terminal and nowhere else; and everywhere a line for each thing that is tried again. */
export class Progress {
  readonly #stream: NodeJS.WriteStream = process.stderr
  readonly #shown: boolean
  readonly #json: boolean
  #drawnAt = 0
  #isDrawn = false

  constructor(json: boolean | undefined) {
    this.#json = json ?? false
    this.#shown = !json && this.#stream.isTTY === true
  }

  readonly take = (event: InstallEvent): void => {
    if (!this.#shown) return
    if (event.kind !== 'fetch') return this.clear()
    const { name, version, receivedBytes, totalBytes } = event
    const isDone = receivedBytes === totalBytes
    const now = performance.now()
    if (!isDone && now - this.#drawnAt < 100) return
    this.#drawnAt = now
    this.#draw(`${name} ${version}  ${barOf(receivedBytes, totalBytes)}`)
  }

  /** Without it a log that stands still would not say whether a server does. */
  readonly retry = ({ subject, reason, delayMs }: HttpRetry): void => {
    this.clear()
    const text = `${subject}: ${reason}; trying again in ${(delayMs / 1000).toFixed(1)} s`.replace(/\p{Cc}/gu, ' ')
    this.#stream.write(this.#json ? `${JSON.stringify({ retry: { subject, reason, delayMs } })}\n` : `${text}\n`)
  }

  /** Takes the line away: something else is to be said. */
  clear(): void {
    if (!this.#isDrawn) return
    this.#isDrawn = false
    this.#stream.write('\r\u001b[K')
  }

  #draw(text: string): void {
    this.#isDrawn = true
    this.#stream.write(`\r\u001b[K${text.slice(0, Math.max(20, (this.#stream.columns || 80) - 1))}`)
  }
}

const BAR = 24

export function barOf(received: number, total: number | undefined): string {
  if (total === undefined || total === 0) return sizeText(received)
  const part = Math.min(1, received / total)
  const full = Math.round(part * BAR)
  return `[${'#'.repeat(full)}${'-'.repeat(BAR - full)}] ${String(Math.floor(part * 100)).padStart(3)} %  ${sizeText(received)} of ${sizeText(total)}`
}

export function sizeText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  const power = Math.min(3, Math.floor(Math.log10(bytes) / 3))
  return `${(bytes / 1000 ** power).toFixed(1)} ${['B', 'kB', 'MB', 'GB'][power]}`
}

/** What became of one address, as JSON says it. */
export interface InstalledRecord {
  readonly request: string
  readonly name: string
  readonly version: string
  readonly before: string | null
  readonly action: Installed['action']
  readonly source: string
  readonly manifestSha512: string | null
  readonly basis: Verdict['basis'] | null
  readonly signers: readonly { readonly publisher: string; readonly fingerprint: string }[]
  readonly platforms: readonly string[]
  readonly findings: Installed['findings']
}

export const recordOfInstalled = ({
  request,
  name,
  version,
  before,
  action,
  address,
  verdict,
  platforms,
  findings,
}: Installed): InstalledRecord => ({
  request,
  name,
  version,
  before: before ?? null,
  action,
  source: address,
  manifestSha512: verdict?.manifestSha512 ?? null,
  basis: verdict?.basis ?? null,
  signers: (verdict?.signers ?? []).map(({ publisher, fingerprint }) => ({ publisher, fingerprint })),
  platforms,
  findings,
})

/** What became of one address, in a line, and what its source found out below it. */
export function linesOfInstalled({ name, version, before, action, address, verdict, findings }: Installed): string[] {
  const words = { installed: 'installed', present: 'there already', 'would-install': 'would be installed' }
  const change = before !== undefined && before !== version ? `${before} → ${version}` : version
  const by = verdict === undefined ? 'its signature is inside of the package and checked when it is fetched' : signedBy(verdict)
  const colour = action === 'installed' ? 'green' : 'dim'
  return [
    `${paint('bold', name)} ${change}   ${paint(colour, words[action])} from ${address}`,
    `  ${by}`,
    ...findings.filter(({ state }) => state !== 'valid').map(({ text }) => `  ${paint('yellow', 'note')} ${text}`),
  ]
}

export function signedBy({ basis, signers }: Pick<Verdict, 'basis' | 'signers'>): string {
  const who = signers.map(({ publisher, fingerprint }) => `${publisher} ${fingerprint}`).join(' and ')
  switch (basis) {
    case 'pinned':
      return `signed by ${who}`
    case 'rotated':
      return `signed by ${who}, by hand-over from an older key`
    case 'first-use':
      return `signed by ${who}, on first use`
    case 'locked':
      return 'unsigned, and exactly what the lock file holds'
    case 'unsigned':
      return 'unsigned'
  }
}
