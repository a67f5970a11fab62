// What this process made and must not leave behind: removed when it exits, and when a signal ends it. Not when it is killed; nothing can be done then.

const removals = new Set<() => void>()
const endingSignals: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGHUP', 'SIGINT']

/** Calls `remove`, which must not throw, at the end of this process. What it returns takes that back. */
export function atEnd(remove: () => void): () => void {
  if (removals.size === 0) {
    process.on('exit', removeAll)
    // Before all others, while those that listen but once can still be counted.
    for (const signal of endingSignals) process.prependListener(signal, onSignal)
  }
  removals.add(remove)
  return () => {
    if (!removals.delete(remove) || removals.size > 0) return
    process.removeListener('exit', removeAll)
    for (const signal of endingSignals) process.removeListener(signal, onSignal)
  }
}

function removeAll(): void {
  for (const remove of removals) remove()
}

/** Whoever else listens for the signal decides what it means; then the exit, if any, removes. Else it ends the process, as it would have. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return
  removeAll()
  removals.clear()
  for (const name of endingSignals) process.removeListener(name, onSignal)
  process.kill(process.pid, signal)
}
