// Colours for a terminal, and for nothing else.

import { styleText } from 'node:util'

type Style = 'red' | 'green' | 'yellow' | 'cyan' | 'bold' | 'dim'

/** Colours a text unless the stream is no terminal, or NO_COLOR says not to. Styles one by one: Node 20 forgets to look at the stream when it gets a list. */
export function paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return styleText(style, text, { stream })
}
