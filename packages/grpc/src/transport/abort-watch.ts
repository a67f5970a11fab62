// Many calls may share one signal. Node warns of eleven listeners and each costs; so every signal gets one, whoever waits for it.

const watched = new WeakMap<AbortSignal, Set<() => void>>()

/** Calls back once when the signal is aborted. Returns how to stop waiting for it. */
export function watchAbort(signal: AbortSignal, listener: () => void): () => void {
  const listeners = watched.get(signal) ?? watch(signal)
  listeners.add(listener)
  return () => listeners.delete(listener)
}

function watch(signal: AbortSignal): Set<() => void> {
  const listeners = new Set<() => void>()
  watched.set(signal, listeners)
  const tell = (): void => {
    watched.delete(signal)
    for (const listener of listeners) listener()
  }
  signal.addEventListener('abort', tell, { once: true })
  return listeners
}
