// net/rpc with a host in TypeScript; the plugin is in TypeScript or in Go.

import { fileURLToPath } from 'node:url'
import { flow, launch } from 'plugwire/host'
import type { Build, Small } from '../harness/samples.ts'
import type { Peer } from '../harness/subject.ts'
import { countBorrowed, countOwned } from '../plugwire/count.ts'
import { source } from '../plugwire/source.ts'
import { netrpcEcho } from './contract.ts'
import { goProgram } from './go-program.ts'

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
    close: async () => void (await plugin.kill()),
  }
}

/** Names in Go begin with a capital, or they would not travel. */
const toGo = ({ number, branch, commit, startedAt, seconds, green, parent, author, stages, notes }: Build) => ({
  Number: number,
  Branch: branch,
  Commit: commit,
  StartedAt: startedAt,
  Seconds: seconds,
  Green: green,
  Parent: parent,
  Author: { Name: author.name, Mail: author.mail, Reviewers: author.reviewers },
  Stages: stages.map(({ name, seconds, cached, exitCode }) => ({ Name: name, Seconds: seconds, Cached: cached, ExitCode: exitCode })),
  Notes: notes,
})

const fromGo = (value: ReturnType<typeof toGo>): Build => ({
  number: value.Number,
  branch: value.Branch,
  commit: value.Commit,
  startedAt: value.StartedAt,
  seconds: value.Seconds,
  green: value.Green,
  parent: value.Parent,
  author: { name: value.Author.Name, mail: value.Author.Mail, reviewers: value.Author.Reviewers },
  stages: value.Stages.map(({ Name, Seconds, Cached, ExitCode }) => ({ name: Name, seconds: Seconds, cached: Cached, exitCode: ExitCode })),
  notes: value.Notes,
})

function expect(counted: number, totalBytes: number): void {
  if (counted !== totalBytes) throw new Error(`${counted} bytes arrived of ${totalBytes}`)
}
