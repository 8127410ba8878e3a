// dicomweb-client and dcmjs, the DICOMweb libraries of browsers: web.mjs URL TOKEN FILE...
//
// Stores the files by STOW-RS, finds them by QIDO-RS and retrieves them by WADO-RS, and compares what comes back with the
// files, read by dcmjs. Then makes a new instance from our metadata and bulk data, and stores that. The files are one
// series of one study. Says on its last line which instances it made, with the digest of their data sets.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';

import dcmjs from 'dcmjs';
import dicomweb from 'dicomweb-client';
import xhr2 from 'xhr2';

globalThis.XMLHttpRequest = xhr2;
const { DicomDict, DicomMessage, DicomMetaDictionary } = dcmjs.data;
const [url, token, ...paths] = process.argv.slice(2);
const client = new dicomweb.api.DICOMwebClient({
  url: `${url}/dicom-web`,
  headers: { Authorization: `Bearer ${token}` },
});

/** As JSON, with what is empty in one way. */
const plain = (value) => JSON.parse(JSON.stringify(value, (key, inner) => (inner === '' || inner?.length === 0 ? null : inner)) ?? 'null');

function same(one, other, what) {
  if (!isDeepStrictEqual(plain(one), plain(other))) {
    throw new Error(`${what}: ${JSON.stringify(one)?.slice(0, 300)} is not ${JSON.stringify(other)?.slice(0, 300)}`);
  }
}

/** Element by element, so that a difference is named. */
function sameElements(ours, theirs, what) {
  for (const key of new Set([...Object.keys(ours), ...Object.keys(theirs)])) same(ours[key], theirs[key], `${key} of ${what}`);
}

const bufferOf = (bytes) => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);

/** What follows group 0002. */
function dataSetOf(file) {
  const bytes = Buffer.from(file);
  same(bytes.toString('latin1', 128, 132), 'DICM', 'the mark of a DICOM file');
  return bytes.subarray(144 + bytes.readUInt32LE(140));
}

const digestOf = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Elements by keyword, without pixels, padding and what JSON says in its own way: there, text is always UTF-8. */
function described(elements) {
  const { PixelData, SpecificCharacterSet, DataSetTrailingPadding, _vrMap, _meta, ...rest } =
    DicomMetaDictionary.naturalizeDataset(elements);
  return rest;
}

const sent = new Map();
for (const path of paths) {
  const file = bufferOf(await readFile(path));
  const read = DicomMessage.readFile(file);
  sent.set(DicomMetaDictionary.naturalizeDataset(read.dict).SOPInstanceUID, { file, read });
}
const first = [...sent.values()][0];
const { StudyInstanceUID: study, SeriesInstanceUID: series, PatientID } = described(first.read.dict);

await client.storeInstances({ datasets: [...sent.values()].map(({ file }) => file), studyInstanceUID: study });

const studies = await client.searchForStudies({ queryParams: { PatientID } });
same(studies.map((found) => found['0020000D'].Value), [[study]], 'the study found');
const found = await client.searchForSeries({ studyInstanceUID: study });
same(found.map((one) => one['0020000E'].Value), [[series]], 'the series found');
const instances = await client.searchForInstances({ studyInstanceUID: study, seriesInstanceUID: series });
same(instances.map((one) => one['00080018'].Value[0]).sort(), [...sent.keys()].sort(), 'the instances found');

const models = await client.retrieveSeriesMetadata({ studyInstanceUID: study, seriesInstanceUID: series });
same(models.length, sent.size, 'models of the series');
for (const model of models) {
  const uid = model['00080018'].Value[0];
  const { file, read } = sent.get(uid);
  sameElements(described(model), described(read.dict), `the metadata of ${uid}`);
  const address = { studyInstanceUID: study, seriesInstanceUID: series, sopInstanceUID: uid };
  const back = await client.retrieveInstance(address);
  same(digestOf(dataSetOf(back)), digestOf(dataSetOf(file)), `the data set of ${uid}`);
  sameElements(described(DicomMessage.readFile(back).dict), described(read.dict), uid);
  const pixels = new Uint8Array(read.dict['7FE00010'].Value[0]);
  const frames = await client.retrieveInstanceFrames({ ...address, frameNumbers: [1] });
  same(digestOf(new Uint8Array(frames[0])), digestOf(pixels), `the frame of ${uid}`);
}
const study3 = await client.retrieveStudy({ studyInstanceUID: study });
same(study3.length, sent.size, 'files of the study');

// A new instance out of our metadata: another series, the same pixels, with a comment.
const model = models[0];
const bulk = await client.retrieveBulkData({ BulkDataURI: `${url}${model['7FE00010'].BulkDataURI}` });
const derived = DicomMetaDictionary.naturalizeDataset(model);
derived.SOPInstanceUID = DicomMetaDictionary.uid();
derived.SeriesInstanceUID = DicomMetaDictionary.uid();
derived.ImageType = ['DERIVED', 'SECONDARY', 'AXIAL'];
derived.ImageComments = '日本語の注釈';
derived.SpecificCharacterSet = 'ISO_IR 192';
derived.PixelData = [bulk[0]];
derived._vrMap = { PixelData: 'OW' };
const dict = new DicomDict({
  '00020002': { vr: 'UI', Value: [derived.SOPClassUID] },
  '00020003': { vr: 'UI', Value: [derived.SOPInstanceUID] },
  '00020010': { vr: 'UI', Value: ['1.2.840.10008.1.2.1'] },
});
dict.dict = DicomMetaDictionary.denaturalizeDataset(derived);
const made = dict.write();
await client.storeInstances({ datasets: [made] });
const address = { studyInstanceUID: study, seriesInstanceUID: derived.SeriesInstanceUID };
const back = await client.retrieveInstance({ ...address, sopInstanceUID: derived.SOPInstanceUID });
same(digestOf(dataSetOf(back)), digestOf(dataSetOf(made)), 'the new instance');
const [again] = await client.retrieveSeriesMetadata(address);
same(again['00204000'].Value, ['日本語の注釈'], 'the comment');
same(again['00100010'], model['00100010'], 'the name');
console.log(JSON.stringify([{ sop_instance_uid: derived.SOPInstanceUID, sha256: digestOf(dataSetOf(made)) }]));
