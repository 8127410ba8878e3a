/**
 * How far an Instance is at the relay: only its head, a low-resolution beginning of its frames, or all of it, verified.
 * It only ever goes up: what is verified stays.
 */
export type InstanceState = 'listed' | 'preview' | 'complete';

const order: readonly InstanceState[] = ['listed', 'preview', 'complete'];

export function isHigher(a: InstanceState, b: InstanceState): boolean {
  return order.indexOf(a) > order.indexOf(b);
}
