// net/rpc with a host in TypeScript; the plugin is in TypeScript or in Go.

import { fileURLToPath } from 'node:url'
import { flow, launch } from 'plugwire/host'
import type { Build, Small } from '../harness/samples.ts'
import type { Peer } from '../harness/subject.ts'
import { countBorrowed, countOwned } from '../plugwire/count.ts'
import { source } from '../plugwire/source.ts'
import { netrpcEcho } from './contract.ts'
import { goProgram } from './go-program.ts'
import { measureGob } from './gob.ts'
import { fromGo, toGo } from './record.ts'

export async function open(variant: string): Promise<Peer> {
  const command =
    variant === 'go' ? { command: goProgram(), args: ['plugin'] } : { command: fileURLToPath(new URL('./plugin.js', import.meta.url)) }
  const plugin = await launch(netrpcEcho, command, { tls: false, logger: false })
  const remote = await plugin.dispense('echo')
  return {
    pid: plugin.pid,
    async echo({ a, b }: Small): Promise<Small> {
      const { A, B } = await remote.Small({ A: a, B: b })
      return { a: A, b: B }
    },
    async echoRecord(value: Build): Promise<Build> {
      return fromGo(await remote.Record(toGo(value)))
    },
    echoBytes: bytes => remote.Bytes(bytes),
    upload: async totalBytes => expect(Number(await remote.Upload(source(totalBytes))), totalBytes),
    download: async totalBytes => expect(await countBorrowed(flow(await remote.Download(totalBytes))), totalBytes),
    ...(variant !== 'go' && {
      uploadOwned: async totalBytes => expect(Number(await remote.UploadOwned(source(totalBytes))), totalBytes),
      downloadOwned: async totalBytes => expect(await countOwned(await remote.Download(totalBytes)), totalBytes),
    }),
    own: { gob: async milliseconds => measureGob(milliseconds) },
    close: async () => void (await plugin.kill()),
  }
}

function expect(counted: number, totalBytes: number): void {
  if (counted !== totalBytes) throw new Error(`${counted} bytes arrived of ${totalBytes}`)
}
