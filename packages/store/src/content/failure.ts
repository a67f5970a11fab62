// How the system's refusals to write become errors of the store.

import { PluginError } from 'plugwire'

const full = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** Whatever the system threw, as an error of the store; errors with a code of our own stay what they are. */
export function storeFailure(path: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || cause instanceof PluginError) return cause
  const { code, syscall } = cause as NodeJS.ErrnoException
  if (code === undefined || syscall === undefined) return cause
  if (full.has(code))
    return storeFull(path, code === 'ENOSPC' ? 'there is no room left on the disk' : `the system allows no more (${code})`, cause)
  return new PluginError(
    'ERR_STORE_IO',
    {
      subject: path,
      reason: `${syscall} failed with ${code}`,
      remedy: 'Look at the owner and the mode of the directory, and at the disk.',
    },
    { cause },
  )
}

export function storeFull(path: string, reason: string, cause?: unknown): PluginError {
  const remedy = 'Nothing was changed. Make room, with `plugwire gc` for example, or set PLUGWIRE_STORE to a directory on another disk.'
  return new PluginError('ERR_STORE_FULL', { subject: path, reason, remedy }, { cause })
}
