// The relay's configuration of the OHIF viewer.
window.config = {
  name: 'tancho',
  routerBasename: '/ohif',
  extensions: [],
  modes: [],
  customizationService: {},
  // Its list writes what is searched for, a patient's name, into the page's address and so into the browser's history.
  // Studies are found in the relay's own page.
  showStudyList: false,
  maxNumberOfWebWorkers: 3,
  showWarningMessageForCrossOrigin: true,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  showErrorDetails: 'always',
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
  defaultDataSourceName: 'tancho',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'tancho',
      configuration: {
        friendlyName: 'Tancho',
        name: 'tancho',
        wadoUriRoot: `${location.origin}/dicom-web`,
        qidoRoot: `${location.origin}/dicom-web`,
        wadoRoot: `${location.origin}/dicom-web`,
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'thumbnail',
        thumbnailRequestStrategy: 'fetch',
        enableStudyLazyLoad: true,
        dicomUploadEnabled: false,
        bulkDataURI: { enabled: true },
        omitQuotationForMultipartRequest: true,
      },
    },
  ],
  // A session that has ended: the relay's own page asks for the login.
  httpErrorHandler: (error) => {
    if (error.status === 401) location.assign('/');
  },
};
