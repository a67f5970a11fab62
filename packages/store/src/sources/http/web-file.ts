// One file of a web server, from any byte on. Knows no registry.

import { malformed } from '../failure.ts'
import type { FetchedFile, FetchOptions, SourceFile } from '../source.ts'
import { closeBody, type HttpClient, type HttpRequest, lengthOf, shown, statusFailure } from './client.ts'

/**
 * Begins to fetch a file where an earlier try ended: `Range` with `If-Range`, so that a file that has changed begins again.
 * @throws Interruption, PluginError `ERR_SOURCE_…`
 */
export async function openWebFile(
  client: HttpClient,
  url: URL,
  file: SourceFile,
  options: FetchOptions = {},
  request: HttpRequest = {},
): Promise<FetchedFile> {
  const { offset = 0, validator, signal, onProgress } = options
  const headers: Record<string, string> = { ...request.headers }
  if (offset > 0) {
    headers['range'] = `bytes=${offset}-`
    if (validator !== undefined) headers['if-range'] = validator
  }
  const response = await client.open(url, { ...request, headers, signal })
  const { status, headers: got, body } = response
  // Nothing is left to be had: either all of it was there already, or it has changed.
  if (status === 416 && offset > 0) {
    await closeBody(body)
    return openWebFile(client, url, file, { ...(signal && { signal }), ...(onProgress && { onProgress }) }, request)
  }
  if (status !== 200 && status !== 206) {
    await closeBody(body)
    throw statusFailure(response.url, status, got)
  }
  const refuse = async (reason: string): Promise<never> => {
    await closeBody(body)
    throw malformed(shown(url), reason)
  }
  const range = status === 206 ? /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(got['content-range'] ?? '') : undefined
  if (range === null || (status === 206 && offset === 0)) return refuse('it answers with a part that nobody asked for')
  const begin = range === undefined ? 0 : Number(range[1])
  if (range !== undefined && begin !== offset) return refuse(`it sends bytes from ${begin}, asked for were those from ${offset}`)
  const length = lengthOf(got)
  const total = range === undefined ? length : range[3] === '*' ? undefined : Number(range[3])
  const tag = got['etag']
  return {
    offset: begin,
    size: total,
    // Only strong tags promise the same bytes.
    validator: tag !== undefined && !tag.startsWith('W/') && tag.length <= 512 ? tag : undefined,
    body: counted(body, begin, total ?? file.size, onProgress),
  }
}

async function* counted(
  body: AsyncIterable<Uint8Array>,
  begin: number,
  totalBytes: number | undefined,
  onProgress: FetchOptions['onProgress'],
): AsyncGenerator<Uint8Array> {
  let receivedBytes = begin
  for await (const part of body) {
    receivedBytes += part.length
    onProgress?.({ receivedBytes, totalBytes })
    yield part
  }
}
