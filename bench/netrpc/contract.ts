// What host and plugin of the net/rpc rows agree on, in whatever language they are: go/main.go has the same.

import { method, netrpc, reader } from '@plugwire/netrpc'
import { bool, bytes, float, int, int64, pointer, slice, string, struct } from '@plugwire/netrpc/gob'
import { contract } from 'plugwire'

const small = struct('main.Small', { A: float, B: string })

export const build = struct('main.Build', {
  Number: int,
  Branch: string,
  Commit: string,
  StartedAt: string,
  Seconds: float,
  Green: bool,
  Parent: pointer(int),
  Author: struct('main.Author', { Name: string, Mail: string, Reviewers: slice(string) }),
  Stages: slice(struct('main.Stage', { Name: string, Seconds: float, Cached: bool, ExitCode: int })),
  Notes: string,
})

const echo = netrpc({
  Small: method(small, small),
  Record: method(build, build),
  Bytes: method(bytes, bytes),
  Upload: method(reader(), int64),
  /** The same, with chunks that the receiver may keep. */
  UploadOwned: method(reader(), int64),
  Download: method(int64, reader()),
})

export const netrpcEcho = contract({
  name: 'bench-netrpc',
  cookie: { key: 'PLUGWIRE_BENCH_NETRPC', value: 'bench' },
  versions: { 1: { echo } },
})
