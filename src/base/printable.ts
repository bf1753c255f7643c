/** Text that may hold what others wrote, for a terminal, which would interpret some of its characters. */

/** Control characters, and those that change the direction of text. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g
const EXCEPT_LINE_ENDS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g

const escapeOf = (c: string): string => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`

/** On one line, with control characters escaped. */
export const oneLine = (text: string): string => text.replace(CONTROL, escapeOf)

/** A message of several lines that may repeat some of `values`, whose own line ends are escaped, too. */
export const printable = (text: string, values: readonly string[] = []): string =>
  values
    .filter(value => value.includes('\n'))
    .reduce((all, value) => all.replaceAll(value, oneLine(value)), text)
    .replace(EXCEPT_LINE_ENDS, escapeOf)
