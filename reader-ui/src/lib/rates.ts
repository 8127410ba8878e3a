/** `1.4 Mbit/s`, `320 kbit/s`: lines are sold and measured in bits. */
export function rateText(bytesPerSecond: number): string {
  const kbit = (bytesPerSecond * 8) / 1000;
  if (kbit >= 10_000) return `${Math.round(kbit / 1000)} Mbit/s`;
  return kbit >= 1000 ? `${(kbit / 1000).toFixed(1)} Mbit/s` : `${Math.max(1, Math.round(kbit))} kbit/s`;
}

/** A length of time in its largest sensible unit, rounded up: an estimate is never more exact than it is. */
export function roughTime(ms: number): { n: number; unit: 'second' | 'minute' | 'hour' } {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 90) return { n: seconds, unit: 'second' };
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? { n: minutes, unit: 'minute' } : { n: Math.ceil(minutes / 60), unit: 'hour' };
}
