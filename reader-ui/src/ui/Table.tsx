import type { ReactNode } from 'react';

interface Props {
  headings: readonly string[];
  rows: readonly { key: string; cells: readonly ReactNode[] }[];
}

export function Table({ headings, rows }: Props) {
  return (
    <div className="panel overflow-x-auto">
      <table className="w-full text-left text-sm">
        <thead className="text-xs text-muted">
          <tr>
            {headings.map((heading) => (
              <th key={heading} scope="col" className="border-b border-line px-4 py-2 font-normal whitespace-nowrap">
                {heading}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, cells }) => (
            <tr key={key} className="border-b border-line last:border-0 hover:bg-raised">
              {headings.map((heading, index) => (
                <td key={heading} className="px-4 py-2 align-top">
                  {cells[index]}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
