// Discovery for hosts: of a contract, the plugins that lie on this machine, and, when asked, each of them running. What speaks against one is said of it, and
// keeps none of the others from running.

import type { Verdict } from '@plugwire/trust'
import { type AnyContract, isPluginError, type PluginError } from 'plugwire'
import { type LaunchOptions, launch, type Plugin } from 'plugwire/host'
import { type Candidate, type DiscoverOptions, type Discovery, discover } from './discover.ts'
import type { Refusal } from './ownership.ts'
import { rankCandidates } from './selection.ts'
import { type CandidateTrust, type VerifiedCandidate, verifyCandidate } from './verified-candidate.ts'

export interface DiscoverPluginsOptions extends DiscoverOptions, Partial<CandidateTrust> {
  /** Semver range that versions have to be in. Default: any, and none. */
  readonly range?: string
  /** Launches the newest of each name that may be run; when it does not shake hands, the next. Default false: nothing is run. */
  readonly connect?: boolean
  /** The application's own word about each one that is about to be launched. Default: all. */
  readonly allow?: (candidate: Candidate) => boolean | Promise<boolean>
  /** How they are launched. */
  readonly launch?: LaunchOptions
  /** How many are being launched at one time. Default 4. */
  readonly concurrency?: number
  /** Ends what is being launched, and what was. */
  readonly signal?: AbortSignal
}

/** A candidate, and what became of it. */
export interface DiscoveredPlugin<C> extends Candidate {
  /** Running, if it was connected to. */
  readonly plugin: Plugin<C> | undefined
  /** By whom it is signed, where a policy was given and it was its turn. */
  readonly verdict: Verdict | undefined
  /** Why it does not run although nothing spoke against it before. */
  readonly failure: PluginError | undefined
}

export interface DiscoveredPlugins<C> extends Omit<Discovery, 'candidates'>, AsyncDisposable {
  /** By name, newest version first. Those that may be run have no `refusals`; of them only the first of a name is connected to. */
  readonly candidates: readonly DiscoveredPlugin<C>[]
  /** Those that run. */
  readonly connected: readonly (DiscoveredPlugin<C> & { readonly plugin: Plugin<C> })[]
}

/**
 * Finds the plugins of a contract on this machine.
 *
 * Without `connect` nothing is executed. With it those are launched against which nothing speaks: neither who may write them, nor their manifest's contract,
 * nor `allow`. With a `policy`, too, only those that somebody it trusts has signed, and of them exactly the verified bytes; without one, what lies at their path.
 *
 * @returns What was found. Disposing it closes every plugin that runs: `await using found = await discoverPlugins(…)`.
 * @throws PluginError `ERR_DISCOVER_PATTERN`, `ERR_SOURCE_ADDRESS` for a malformed range; the signal's reason. Nothing runs then.
 */
export async function discoverPlugins<C extends AnyContract>(contract: C, options: DiscoverPluginsOptions): Promise<DiscoveredPlugins<C>> {
  const found = await discover(options)
  const { range } = options
  const wanted = { contract: { name: contract.name, versions: contract.versions.map(({ version }) => version) } }
  const names = [...new Set(found.candidates.map(({ name }) => name))]
  const lists = names.map(name => rankCandidates(found, { name, ...wanted, ...(range !== undefined && { range }) }).map(untouched<C>))
  const close = async (): Promise<void> => {
    await Promise.all(lists.flat().map(({ plugin }) => plugin?.close()))
  }
  if (options.connect === true) {
    const next = lists.values()
    const worker = async (): Promise<void> => {
      for (const list of next) await connectNewest(contract, list, options)
    }
    const workers = await Promise.allSettled(Array.from({ length: Math.max(1, options.concurrency ?? 4) }, worker))
    const failed = workers.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined
    if (failed !== undefined || options.signal?.aborted) {
      await close()
      throw options.signal?.aborted ? options.signal.reason : failed?.reason
    }
  }
  const candidates = lists.flat()
  const connected = candidates.filter((one): one is DiscoveredPlugin<C> & { plugin: Plugin<C> } => one.plugin !== undefined)
  return { ...found, candidates, connected, [Symbol.asyncDispose]: close }
}

const untouched = <C>(candidate: Candidate): DiscoveredPlugin<C> => ({
  ...candidate,
  plugin: undefined,
  verdict: undefined,
  failure: undefined,
})

/** Tries the candidates of one name until one runs. */
async function connectNewest<C extends AnyContract>(
  contract: C,
  list: DiscoveredPlugin<C>[],
  options: DiscoverPluginsOptions,
): Promise<void> {
  for (const [i, candidate] of list.entries()) {
    options.signal?.throwIfAborted()
    if (candidate.refusals.length > 0) continue
    if ((await options.allow?.(candidate)) === false) {
      list[i] = refused(candidate, 'not-allowed', 'the application does not allow it', 'Ask whoever made the application.')
      continue
    }
    list[i] = await connect(contract, candidate, options)
    if (list[i]?.plugin !== undefined) return
  }
}

async function connect<C extends AnyContract>(
  contract: C,
  candidate: DiscoveredPlugin<C>,
  options: DiscoverPluginsOptions,
): Promise<DiscoveredPlugin<C>> {
  const { policy, signal } = options
  let verified: VerifiedCandidate | undefined
  try {
    if (policy !== undefined) verified = await verifyCandidate(candidate, { ...options, policy })
  } catch (cause) {
    if (!isPluginError(cause)) throw cause
    return { ...refused(candidate, 'not-trusted', cause.message, 'Install it anew from its publisher.'), failure: cause }
  }
  try {
    const plugin = await launch(contract, verified?.program ?? candidate.path, {
      name: candidate.name,
      ...options.launch,
      ...(signal !== undefined && { signal }),
    })
    return { ...candidate, plugin, verdict: verified?.verdict }
  } catch (cause) {
    if (!isPluginError(cause)) throw cause
    const failed = refused(candidate, 'no-handshake', cause.message, 'Look into it by hand: plugwire doctor.')
    return { ...failed, verdict: verified?.verdict, failure: cause }
  } finally {
    // What was started goes on.
    verified?.program.close()
  }
}

function refused<C>(candidate: DiscoveredPlugin<C>, reason: Refusal['reason'], text: string, remedy: string): DiscoveredPlugin<C> {
  return { ...candidate, refusals: [...candidate.refusals, { reason, path: candidate.path, text, remedy }] }
}
