// Who sends next. Streams share the connection by weight (start-time fair queueing), each under its own ceiling.
// Knows nothing of frames; the session asks `next`, sends, and says what it charged.

/** What the scheduler keeps for one stream. */
export interface Lane {
  /** Share of the connection, relative to the other lanes that have bytes to send. */
  weight: number
  /** Bytes per second; Infinity when there is no ceiling. */
  maxBytesPerSecond: number
  /** Virtual time at which its next byte is due. */
  due: number
  /** Place in the heap, -1 when it is not waiting to send. */
  slot: number
  /** Bytes it may send now under its ceiling. */
  tokens: number
  /** When `tokens` was last brought up to date, in milliseconds. */
  refilledAt: number
  /** Until when others wait for it although it has nothing to send, in milliseconds; 0 when they do not. */
  awaitedUntil: number
  /** Until when it is not waited for, because it did not come back in time or made others wait for most of it. */
  slowUntil: number
  /** For how long that was said the last time, in milliseconds. */
  slowMs: number
  /** Since when others have been waiting for it; 0 when none do. */
  waitedSince: number
  /** When it last came back. */
  returnedAt: number
  /** Which share of the time, lately, others have waited for it. */
  waitedShare: number
}

/** A ceiling lets this much time's worth of bytes go at once, which covers a late timer. */
const BURST_MS = 50
/** Under a ceiling a lane waits until it may send this much, so that frames do not become crumbs. */
const MIN_BURST_BYTES = 4_096

/** One timer serves all lanes, so it comes at least this often. Well under `BURST_MS`, or a lane would lose what it may send. */
const MAX_WAIT_MS = 20

/** Milliseconds in which a busy lane that has run dry is expected back: its writer is being told, or credit is on its way. */
const RETURN_MS = 10
/**
 * Milliseconds for which a lane is not waited for once it turned out that its own source or reader is what slows it: short at first, since a
 * busy machine may only have kept its process waiting, and twice as long each time that it happens again.
 */
const LEAST_SLOW_MS = 20
const MOST_SLOW_MS = 1_000
/** From this share of waiting on, it is not the connection that is short. */
const SLOW_SHARE = 0.95
/** What is left of `slowMs` after each return in good time. */
const RECOVERY = 0.98
/** How much one return counts in `waitedShare`. */
const SHARE_GAIN = 0.1
/** Bytes (at weight 1) that a lane may get ahead of one that is waited for. */
const AHEAD_BYTES = 65_536

export function createLane(): Lane {
  return {
    weight: 1,
    maxBytesPerSecond: Number.POSITIVE_INFINITY,
    due: 0,
    slot: -1,
    tokens: 0,
    refilledAt: 0,
    awaitedUntil: 0,
    slowUntil: 0,
    slowMs: 0,
    waitedSince: 0,
    returnedAt: 0,
    waitedShare: 0,
  }
}

function slowDown(lane: Lane, now: number): void {
  lane.slowMs = Math.min(Math.max(LEAST_SLOW_MS, lane.slowMs * 2), MOST_SLOW_MS)
  lane.slowUntil = now + lane.slowMs
}

export class Scheduler<L extends Lane> {
  readonly #heap: L[] = []
  /** Lanes that wait for their ceiling. */
  readonly #parked = new Set<L>()
  /** Lanes that were sending, ran dry, and are expected back at once. */
  readonly #awaited = new Set<L>()
  /** Lanes whose weight is not 1. While there are none, everybody gets what he can take, and nobody is waited for. */
  readonly #weighted = new Set<L>()
  readonly #wake: () => void
  #virtual = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #timerAt = 0

  /** @param wake Called when a lane that was held back by its ceiling may send again. */
  constructor(wake: () => void) {
    this.#wake = wake
  }

  /** The lane has something to send. A lane that was idle gets no credit for the time it did not use. */
  add(lane: L): void {
    if (lane.slot !== -1 || this.#parked.has(lane)) return
    // One that was waited for catches up; one that was idle begins now.
    if (!this.#awaited.delete(lane) || !this.#returned(lane)) lane.due = Math.max(lane.due, this.#virtual)
    if (lane.weight === Number.POSITIVE_INFINITY) lane.due = Number.NEGATIVE_INFINITY
    this.#push(lane)
  }

  /**
   * The lane has run dry. Where weights differ, the others wait for it a moment: else the share of a lane would be given away each time
   * that its writer takes a breath. Whether it has more to send nobody knows; one that has not is found out soon (`slowUntil`).
   */
  await(lane: L): void {
    if (this.#weighted.size === 0 || lane.weight === Number.POSITIVE_INFINITY) return
    const now = performance.now()
    if (now < lane.slowUntil) return
    lane.awaitedUntil = now + RETURN_MS
    this.#awaited.add(lane)
  }

  /** Learns from how long others waited. Returns true when it came back in time. */
  #returned(lane: L): boolean {
    const now = performance.now()
    if (lane.waitedSince > 0) {
      const cycle = Math.max(now - lane.returnedAt, 0.001)
      lane.waitedShare += SHARE_GAIN * (Math.min(1, (now - lane.waitedSince) / cycle) - lane.waitedShare)
      lane.waitedSince = 0
      if (lane.waitedShare > SLOW_SHARE) {
        slowDown(lane, now)
        // Not forgotten: one that goes on like this is found out again soon.
        lane.waitedShare = SLOW_SHARE - SHARE_GAIN / 2
      } else lane.slowMs *= RECOVERY
    } else lane.waitedShare *= 1 - SHARE_GAIN
    lane.returnedAt = now
    return now <= lane.awaitedUntil
  }

  /** The lane from `next` has more to send. It keeps its place: one that is catching up goes on catching up. */
  again(lane: L): void {
    if (lane.weight === Number.POSITIVE_INFINITY) lane.due = Number.NEGATIVE_INFINITY
    this.#push(lane)
  }

  remove(lane: L): void {
    this.#parked.delete(lane)
    this.#awaited.delete(lane)
    this.#weighted.delete(lane)
    if (lane.slot !== -1) this.#take(lane.slot)
  }

  /** Brings a lane to its place after its weight or its ceiling was changed. */
  changed(lane: L): void {
    const waiting = this.#parked.delete(lane) || lane.slot !== -1
    if (lane.weight === 1) this.#weighted.delete(lane)
    else this.#weighted.add(lane)
    if (lane.slot !== -1) this.#take(lane.slot)
    // What it owed under the old ceiling is forgotten; the new one counts from now.
    lane.tokens = 0
    lane.refilledAt = performance.now()
    if (lane.due > this.#virtual) lane.due = this.#virtual
    if (waiting) {
      this.#push(lane)
      this.#wake()
    }
  }

  /** Takes the lane that sends next; undefined when none may send now. */
  next(): L | undefined {
    for (;;) {
      const lane = this.#heap[0]
      if (lane === undefined) return undefined
      if (this.#awaited.size > 0 && this.#mustWait(lane)) return undefined
      this.#take(0)
      if (lane.maxBytesPerSecond === Number.POSITIVE_INFINITY || this.#refill(lane)) return lane
      this.#park(lane)
    }
  }

  /** Counts bytes that the lane from `next` sent. */
  charge(lane: L, bytes: number): void {
    this.#virtual = Math.max(this.#virtual, lane.due)
    lane.due += bytes / lane.weight
    if (lane.maxBytesPerSecond !== Number.POSITIVE_INFINITY) lane.tokens -= bytes
  }

  /** Ends the timer; lanes are forgotten. */
  close(): void {
    clearTimeout(this.#timer)
    // Streams may be forgotten one by one later: none may think that it still has a place.
    for (const lane of this.#heap) lane.slot = -1
    this.#heap.length = 0
    this.#parked.clear()
    this.#awaited.clear()
  }

  /** True when the lane is too far ahead of one that is expected back. */
  #mustWait(lane: L): boolean {
    if (lane.weight === Number.POSITIVE_INFINITY) return false
    const now = performance.now()
    for (const awaited of this.#awaited) {
      if (now > awaited.awaitedUntil) {
        this.#awaited.delete(awaited)
        slowDown(awaited, now)
        awaited.waitedSince = 0
      } else if (lane.due > awaited.due + AHEAD_BYTES / lane.weight) {
        if (awaited.waitedSince === 0) awaited.waitedSince = now
        this.#wakeIn(RETURN_MS)
        return true
      }
    }
    return false
  }

  #refill(lane: L): boolean {
    const now = performance.now()
    const perMs = lane.maxBytesPerSecond / 1_000
    if (lane.refilledAt === 0) lane.refilledAt = now
    lane.tokens = Math.min(lane.tokens + (now - lane.refilledAt) * perMs, Math.max(perMs * BURST_MS, MIN_BURST_BYTES))
    lane.refilledAt = now
    return lane.tokens >= 1 && lane.tokens >= Math.min(MIN_BURST_BYTES, perMs * BURST_MS)
  }

  #park(lane: L): void {
    this.#parked.add(lane)
    const needed = Math.min(MIN_BURST_BYTES, (lane.maxBytesPerSecond / 1_000) * BURST_MS)
    this.#wakeIn(Math.ceil(((Math.max(needed, 1) - lane.tokens) / lane.maxBytesPerSecond) * 1_000))
  }

  #wakeIn(ms: number): void {
    const at = performance.now() + ms
    if (this.#timer !== undefined) {
      if (at >= this.#timerAt) return
      clearTimeout(this.#timer)
    }
    this.#timerAt = at
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        for (const parked of this.#parked) this.#push(parked)
        this.#parked.clear()
        this.#wake()
      },
      Math.max(1, Math.min(ms, MAX_WAIT_MS)),
    )
    // Whoever waits for these bytes holds the link, and the link holds the loop.
    this.#timer.unref?.()
  }

  #push(lane: L): void {
    lane.slot = this.#heap.length
    this.#heap.push(lane)
    this.#up(lane.slot)
  }

  #take(slot: number): void {
    const heap = this.#heap
    const lane = heap[slot] as L
    const last = heap.pop() as L
    lane.slot = -1
    if (last === lane) return
    heap[slot] = last
    last.slot = slot
    this.#up(slot)
    this.#down(last.slot)
  }

  #up(from: number): void {
    const heap = this.#heap
    const lane = heap[from] as L
    let slot = from
    while (slot > 0) {
      const parentSlot = (slot - 1) >> 1
      const parent = heap[parentSlot] as L
      if (parent.due <= lane.due) break
      heap[slot] = parent
      parent.slot = slot
      slot = parentSlot
    }
    heap[slot] = lane
    lane.slot = slot
  }

  #down(from: number): void {
    const heap = this.#heap
    const lane = heap[from] as L
    let slot = from
    for (;;) {
      let childSlot = 2 * slot + 1
      if (childSlot >= heap.length) break
      const right = heap[childSlot + 1]
      if (right !== undefined && right.due < (heap[childSlot] as L).due) childSlot++
      const child = heap[childSlot] as L
      if (child.due >= lane.due) break
      heap[slot] = child
      child.slot = slot
      slot = childSlot
    }
    heap[slot] = lane
    lane.slot = slot
  }
}
