// What others wrote, made fit for a terminal. Names, addresses and comments come from files of strangers; written as they are, they could move the cursor,
// set the title of the window or turn the direction of writing.

// Colours stay, as ours are in there already; so do tabs and the ends of lines.
const unseen =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /\u001b(?!\[[\d;]{0,20}m)|\r(?!\n)|[\u0000-\u0008\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** The text with its control characters written out: `\u{1b}`. */
export const visible = (text: string): string =>
  text.replace(unseen, character => `\\u{${(character.codePointAt(0) as number).toString(16)}}`)
