// Kills a plugin at a certain call. Calls are counted where each is given its metadata, since links know nothing of calls.

import type { Metadata } from '../rpc/call-context.ts'

type MetadataSource = () => Metadata | undefined

/** The source of metadata, which kills at the nth call; the same source when there is no such call. */
export function counted(source: MetadataSource | undefined, killAtCall: number | undefined, kill: () => void): MetadataSource | undefined {
  if (killAtCall === undefined) return source
  let calls = 0
  return () => {
    if (++calls === killAtCall) kill()
    return source?.()
  }
}
