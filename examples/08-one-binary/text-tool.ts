// What the program and its plugins share.

import { contract } from 'plugwire'

export interface TextTool {
  apply(text: string): Promise<string>
  /** Which process this is. */
  pid(): Promise<number>
}

export const textTool = contract<{ tool: TextTool }>({ name: 'text-tool', version: 1 })
