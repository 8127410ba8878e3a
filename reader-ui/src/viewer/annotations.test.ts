import { describe, expect, it, vi } from 'vitest';

vi.mock('@cornerstonejs/core', () => ({ eventTarget: new EventTarget() }));
vi.mock('@cornerstonejs/tools', () => ({ annotation: {}, ArrowAnnotateTool: {}, Enums: {}, LengthTool: {} }));

const { lengthConfiguration } = await import('./annotations.ts');

describe('the number beside a length', () => {
  it('is that of the ends as they are drawn, whatever the library computed for an earlier place', () => {
    const data = { handles: { points: [[0, 0, 0], [3, 4, 12]] as [number, number, number][] }, cachedStats: { image: { length: 8.16, unit: 'mm' } } };
    expect(lengthConfiguration.getTextLines(data)).toEqual(['13.0 mm']);
  });

  it('is absent until both ends are there', () => {
    expect(lengthConfiguration.getTextLines({ handles: { points: [[0, 0, 0]] } })).toEqual([]);
  });
});
