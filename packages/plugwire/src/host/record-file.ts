// Reattach records in files. A record holds a private key, so its file is for its owner's eyes alone.

import { PluginError } from '../errors.ts'
import type { AttachRecord } from '../process/attach.ts'

/** Writes a record so that a crash leaves the old file or the new one, readable by its owner only (mode 0600). */
export async function saveRecord(record: AttachRecord, path: string): Promise<void> {
  const { randomBytes } = process.getBuiltinModule('node:crypto')
  const { open, rename, rm } = process.getBuiltinModule('node:fs/promises')
  const temporary = `${path}.${randomBytes(6).toString('hex')}`
  const file = await open(temporary, 'wx', 0o600)
  try {
    await file.writeFile(`${JSON.stringify(record, undefined, 2)}\n`)
    await file.sync()
    await file.close()
    await rename(temporary, path)
  } catch (cause) {
    await file.close().catch(() => undefined)
    await rm(temporary, { force: true })
    throw cause
  }
}

/**
 * Reads a record that `saveRecord` wrote.
 *
 * @throws PluginError `ERR_REATTACH` when there is none, when it cannot be read, or when others than its owner may read or write it.
 */
export async function loadRecord(path: string): Promise<AttachRecord> {
  const fail = (reason: string, remedy: string, cause?: unknown): PluginError =>
    new PluginError('ERR_REATTACH', { plugin: path, reason, remedy }, { cause })
  const { readFile, stat } = process.getBuiltinModule('node:fs/promises')
  let text: string
  try {
    const { mode, uid } = await stat(path)
    const me = process.getuid?.()
    if (me !== undefined && ((mode & 0o077) !== 0 || (uid !== me && uid !== 0))) {
      throw fail('others may read or write the record, which holds a key', 'Remove it and save it again')
    }
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw cause instanceof PluginError
      ? cause
      : fail(`the record cannot be read (${(cause as Error).message})`, 'Launch the plugin again', cause)
  }
  try {
    const record = JSON.parse(text) as AttachRecord
    if (typeof record.name !== 'string' || typeof record.pid !== 'number' || typeof record.address !== 'string')
      throw new Error('parts of it are missing')
    return record
  } catch (cause) {
    throw fail(`the record is damaged (${(cause as Error).message})`, 'Launch the plugin again', cause)
  }
}
