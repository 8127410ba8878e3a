/** "None" and a finding at once would be a contradiction: the later choice wins. */
export function exclusiveNone(before: readonly string[], after: string[]): string[] {
  if (!after.includes('none')) return after;
  return before.includes('none') ? after.filter((code) => code !== 'none') : ['none'];
}
