// plugwire, used as a user would: launch, dispense, call. Variants differ in launch options only.

import { setTimeout as sleep } from 'node:timers/promises'
import { flow, type LaunchOptions, launch, type Plugin } from 'plugwire/host'
import { small } from '../harness/samples.ts'
import type { Figures, Peer } from '../harness/subject.ts'
import { echo } from './contract.ts'
import { countBorrowed, countOwned } from './count.ts'
import { source } from './source.ts'
import { measureCeiling, measureWeights } from './steering.ts'

const variants: Readonly<Record<string, LaunchOptions>> = {
  fd: {},
  busyPoll: { busyPoll: true },
  unix: { wire: 'unix', tls: false },
  unixTls: { wire: 'unix' },
}

async function start(variant: string): Promise<Plugin<typeof echo>> {
  const options = variants[variant]
  if (options === undefined) throw new Error(`no variant ${variant}`)
  return await launch(echo, new URL('./plugin.js', import.meta.url), options)
}

export async function open(variant: string): Promise<Peer> {
  const plugin = await start(variant)
  const remote = await plugin.dispense('echo')
  return {
    pid: plugin.pid,
    echo: value => remote.echo(value),
    echoRecord: value => remote.echoRecord(value),
    echoBytes: bytes => remote.echoBytes(bytes),
    upload: async totalBytes => expect(await remote.swallow(source(totalBytes), 'borrowed'), totalBytes),
    uploadOwned: async totalBytes => expect(await remote.swallow(source(totalBytes), 'owned'), totalBytes),
    download: async totalBytes => expect(await countBorrowed(flow(await remote.produce(totalBytes))), totalBytes),
    downloadOwned: async totalBytes => expect(await countOwned(await remote.produce(totalBytes)), totalBytes),
    own: {
      weights: milliseconds => measureWeights(remote, milliseconds),
      ceiling: milliseconds => measureCeiling(remote, milliseconds),
    },
    close: async () => void (await plugin.kill()),
  }
}

/** What a host gains that launches its plugins before it needs them. */
export async function standby(variant: string): Promise<Figures> {
  const plugin = await start(variant)
  await sleep(500)
  const asked = performance.now()
  const remote = await plugin.dispense('echo')
  await remote.echo(small)
  const first = performance.now()
  await remote.echo(small)
  const second = performance.now()
  await plugin.kill()
  return { first: first - asked, second: second - first }
}

function expect(counted: number, totalBytes: number): void {
  if (counted !== totalBytes) throw new Error(`${counted} bytes arrived of ${totalBytes}`)
}
